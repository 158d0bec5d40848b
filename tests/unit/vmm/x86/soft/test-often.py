# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether lodge has together what vmm/often.ld names: handlers are renamed, and a name that is gone is no error there.

    test-often.py BUILD/lodge
"""

import re
import subprocess
import sys

LEAST = 64 << 10    # bytes; there are about twice as many

sections = subprocess.run(["readelf", "-SW", sys.argv[1]], text=True, capture_output=True, check=True).stdout
found = re.search(r"\.text\.often +PROGBITS +\w+ +\w+ +(\w+)", sections)
if not found or int(found[1], 16) < LEAST:
    sys.exit(f".text.often has {int(found[1], 16) if found else 0} bytes: see which names in vmm/often.ld are gone")
