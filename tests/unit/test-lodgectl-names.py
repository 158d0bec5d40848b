# SPDX-License-Identifier: GPL-2.0-or-later
"""Names, ids, UUIDs and users, and a disk that is full.

    test-lodgectl-names.py BUILD/lodge BUILD/lodgectl
"""

import json
import os
import shutil
import subprocess
import unittest

from lodgectl_rig import LODGE, LODGECTL, NONE, UUID, Scratch

ODD = ["a b", "ü-漢", "a,b", "100%s", "a'b\"c", "$(touch pwned)", "`id`", "-x", "--all", "a\\b", "700", "*", "[x]"]


class Names(Scratch):
    def test_odd_names_live_like_others(self):
        for name in ODD:
            # In a file the name is between quotes, whatever it is, but for what a file of groups cannot say.
            self.ctl("define", self.file("odd.conf", f'{NONE}[name]\n  guest = "{name}"\n'))
            self.ctl("start", "--", name)
            self.assertEqual(self.ctl("domstate", "--", name).strip(), "running", name)
        listed = json.loads(self.ctl("list", "--json"))
        self.assertEqual([d["name"] for d in listed], ODD)
        for name in ODD:
            self.ctl("destroy", "--", name)
            self.ctl("undefine", "--", name)
        self.assertEqual(self.names("--all"), [])

    def test_names_that_are_none(self):
        for name, word in (("", "empty"), (".hidden", "'.'"), ("a/b", "'/'"), ("x" * 200, "too long")):
            says = self.refused("define", self.file("c.conf", f'{NONE}[name]\n  guest = "{name}"\n'), says=word)
            self.assertIn("c.conf", says)
        self.assertEqual(self.names("--all"), [])

    def test_longest_name_that_fits(self):
        name = "n" * (107 - len(f"{self.run_dir}//control.sock"))
        self.define(name)
        self.ctl("start", name)
        self.assertEqual(self.names(), [name])
        self.refused("define", self.file(f"{name}n.conf", NONE), says="too long")

    def test_an_id_goes_before_a_name(self):
        self.domain("x")
        self.define("1")
        self.assertEqual(self.ctl("domname", "1").strip(), "x")
        self.ctl("start", self.ctl("list", "--uuid", "--inactive").strip())
        self.assertEqual(sorted(self.names()), ["1", "x"])
        self.assertEqual(self.ctl("domid", self.ctl("domuuid", "2").strip()).strip(), "2")

    def test_a_definition_is_not_given_the_uuid_of_a_running_domain(self):
        self.domain("x", "-uuid", UUID)
        self.refused("define", self.file("y.conf", f'{NONE}[uuid]\n  uuid = "{UUID.upper()}"\n'), says="'x' has the UUID")
        self.assertEqual(self.names("--all"), ["x"])

    def test_transient_domain_is_gone_when_it_ends_and_a_defined_one_stays(self):
        self.domain("gone")
        kept = self.domain("kept")
        pid = kept.pid
        self.define("kept")
        self.assertEqual(self.names("--persistent"), ["kept"])
        self.assertEqual(int((self.run_dir / "kept/pid").read_text()), pid)  # it went on as it was
        self.ctl("destroy", "gone")
        self.ctl("destroy", "kept")
        self.assertEqual(self.names("--all"), ["kept"])
        self.ctl("start", "kept")
        self.ctl("undefine", "kept")
        self.assertEqual(self.names("--transient"), ["kept"])
        self.ctl("destroy", "kept")
        self.assertEqual(self.names("--all"), [])

    def test_completion_does_not_run_what_a_domain_is_called(self):
        self.define("$(touch pwned)")
        self.define("plain")
        script = f'. <({LODGECTL} --completion); COMP_WORDS=({LODGECTL} "${{@:2}}"); COMP_CWORD=$(($# - 1)); ' \
                 '_lodgectl; printf "%s\\n" "${COMPREPLY[@]}"'
        result = subprocess.run(["bash", "-c", script, "bash", "lodgectl", "start", ""], capture_output=True, text=True,
                                check=True, env=self.environment, cwd=self.directory)
        self.assertEqual(result.stdout.splitlines(), [r"\$\(touch\ pwned\)", "plain"])
        self.assertFalse((self.directory / "pwned").exists())


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "only root can mount a small disk")
class FullDisk(Scratch):
    def test_nothing_is_lost_and_nothing_wrong_is_listed(self):
        """In a mount namespace of its own: both folders on 64 KiB, which are filled to the last byte."""
        script = f"""
            set -u
            mkdir -p {self.directory}/small && mount -t tmpfs -o size=64k none {self.directory}/small || exit 77
            export LODGE_RUNTIME_DIR={self.directory}/small/run LODGE_CONFIG_DIR={self.directory}/small/config
            ctl() {{ {LODGECTL} -q "$@"; }}
            ctl define {self.file('x.conf', NONE)} || exit 2
            ctl start x || exit 3
            before=$(ctl dumpconfig x)
            head -c 100000 /dev/zero > {self.directory}/small/fill 2>/dev/null
            ctl define {self.file('y.conf', NONE + '# ' + 'y' * 5000)} && exit 4
            ctl define {self.file('x.conf', NONE + '# ' + 'x' * 5000)} && exit 5
            ctl vcpupin x 0 0 --config && exit 6
            [ "$(ctl dumpconfig x)" = "$before" ] || exit 7
            [ "$(ctl list --all --name)" = "x" ] || exit 8
            [ "$(ctl domstate x)" = "running" ] || exit 9
            ctl destroy x || exit 10
            [ "$(ctl domstate x)" = "shut off" ] || exit 11
            head -c 100000 /dev/zero > {self.directory}/small/fill2 2>/dev/null
            {LODGE} -M none -accel tcg -name plain -S -monitor none 2> {self.directory}/said & plain=$!
            sleep 1
            kill $plain || exit 12
            rm {self.directory}/small/fill {self.directory}/small/fill2
            ctl start x || exit 13
            [ "$(ctl list --name)" = "x" ] || exit 14
            ctl destroy x
            find {self.directory}/small -name '.new*' -o -name '.start*' | grep . && exit 15
            exit 0
        """
        result = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True, timeout=60,
                                env=self.environment, check=False)
        if result.returncode == 77 or "unshare:" in result.stderr:
            self.skipTest(f"no mount namespace here: {result.stderr.strip()}")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


@unittest.skipUnless(os.geteuid() == 0, "only root can be two users")
class TwoUsers(Scratch):
    def test_each_sees_its_own(self):
        os.chmod(self.directory, 0o755)
        mine = self.directory / "theirs"
        mine.mkdir(mode=0o700)
        os.chown(mine, 65534, 65534)
        theirs = {**self.environment, "XDG_RUNTIME_DIR": str(mine), "XDG_CONFIG_HOME": str(mine)}
        del theirs["LODGE_RUNTIME_DIR"], theirs["LODGE_CONFIG_DIR"]
        as_nobody = {"user": 65534, "group": 65534, "extra_groups": [], "env": theirs, "cwd": "/"}
        try:
            subprocess.run([LODGECTL, "--version"], check=True, capture_output=True, **as_nobody)
        except OSError as e:
            self.skipTest(f"another user cannot run {LODGECTL}: {e}")
        self.domain("x", "-uuid", UUID)
        other = subprocess.Popen([LODGE, "-M", "none", "-accel", "tcg", "-name", "x", "-uuid", UUID],
                                 stderr=subprocess.DEVNULL, **as_nobody)
        self.addCleanup(self.end, other)
        self.eventually((mine / "lodge/x/pid").exists)
        listed = subprocess.run([LODGECTL, "list", "--json"], check=True, capture_output=True, **as_nobody)
        self.assertEqual([d["pid"] for d in json.loads(listed.stdout)], [other.pid])
        self.assertNotIn(str(other.pid), self.ctl("list", "--json"))
        # Another's folder is not written to, whatever the mode.
        stranger = subprocess.run([LODGE, "-M", "none", "-accel", "tcg", "-name", "y"], capture_output=True, text=True,
                                  env={**self.environment, "LODGE_RUNTIME_DIR": str(mine), "LODGE_LISTED": "1"},
                                  check=False, timeout=20)
        self.assertEqual(stranger.returncode, 1)
        self.assertIn("cannot be listed", stranger.stderr)

    def test_who_never_logged_in_has_the_cache(self):
        os.chmod(self.directory, 0o755)
        home = self.directory / "home"
        home.mkdir(mode=0o700)
        os.chown(home, 12345, 12345)
        theirs = {key: value for key, value in self.environment.items() if not key.startswith(("XDG_", "LODGE_"))}
        theirs |= {"HOME": str(home), "LODGE": str(LODGE)}

        def ctl(*arguments):
            return subprocess.run([LODGECTL, *arguments], capture_output=True, text=True, user=12345, group=12345,
                                  extra_groups=[], env=theirs, cwd="/", check=False, timeout=40)
        definition = self.file("x.conf", NONE)
        os.chmod(definition, 0o644)
        try:
            defined = ctl("define", str(definition))
        except OSError as e:
            self.skipTest(f"another user cannot run {LODGECTL}: {e}")
        self.assertEqual(defined.stderr, "")
        self.assertEqual(ctl("start", "x").stderr, "")
        self.assertEqual(ctl("list", "--name").stdout.split(), ["x"])
        self.assertTrue((home / ".cache/lodge/x/pid").exists())
        self.assertEqual(ctl("destroy", "x").stderr, "")


@unittest.skipUnless(os.geteuid() == 0, "only root can be two users")
class ForAnother(Scratch):
    def test_root_names_a_domain_of_another_user(self):
        os.chmod(self.directory, 0o755)
        theirs = self.directory / "theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 65534, 65534)
        place = {**self.environment, "LODGE_RUNTIME_DIR": str(theirs / "run"),
                 "LODGE_CONFIG_DIR": str(theirs / "config")}
        other = subprocess.run([LODGECTL, "--user", "65534", "list"], capture_output=True, text=True, env=place,
                               check=False)
        self.assertEqual(other.returncode, 0, other.stderr)
        self.domain("x")
        if subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", LODGE, "-version"], capture_output=True,
                          check=False).returncode:
            self.skipTest(f"another user cannot run {LODGE}")
        process = subprocess.Popen([LODGE, "-M", "none", "-accel", "tcg", "-name", "x"], env=place, cwd="/",
                                   user=65534, group=65534, extra_groups=[], stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, process)
        self.eventually((theirs / "run/x/pid").exists)

        def as_them(*arguments):
            return subprocess.run([LODGECTL, "--user", "nobody", *arguments], capture_output=True, text=True, env=place,
                                  check=True, timeout=20).stdout
        self.eventually(lambda: as_them("list", "--name").split() == ["x"])
        self.assertEqual(json.loads(as_them("list", "--json"))[0]["pid"], process.pid)
        as_them("suspend", "x")
        self.assertEqual(self.ctl("domstate", "x").strip(), "running")
        as_them("destroy", "x")
        process.wait(timeout=10)
        self.assertEqual(self.names(), ["x"])

    def test_only_root_and_only_users(self):
        self.refused("--user", "no-such-user", "list", says="no user 'no-such-user'")
        self.refused("--user", says="needs the name")
        result = subprocess.run([LODGECTL, "--user", "root", "list"], capture_output=True, text=True, check=False,
                                user=65534, group=65534, extra_groups=[], env=self.environment)
        self.assertEqual(result.returncode, 1)
        self.assertIn("Only root", result.stderr)


if __name__ == "__main__":
    unittest.main()
