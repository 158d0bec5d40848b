# SPDX-License-Identifier: GPL-2.0-or-later
"""What people and programs are told of migrations: the human monitor, capabilities, parameters and introspection.

    test-migrate-monitor.py BUILD/lodge BUILD/lodgectl
"""

import unittest

from migrate_rig import MigrateCase, Process

CAPABILITIES = ["auto-converge", "events", "multifd", "pause-before-switchover", "return-path"]
PARAMETERS = {"announce-initial": 50, "announce-max": 550, "announce-rounds": 5, "announce-step": 100,
              "throttle-trigger-threshold": 50, "cpu-throttle-initial": 20, "cpu-throttle-increment": 10,
              "cpu-throttle-tailslow": False, "max-cpu-throttle": 99, "max-bandwidth": 128 << 20, "downtime-limit": 300,
              "multifd-channels": 2, "multifd-compression": "none", "multifd-zlib-level": 1, "multifd-zstd-level": 1}


class MonitorTest(MigrateCase):
    def setUp(self):
        super().setUp()
        self.process = Process(self)

    def say(self, line):
        return self.process.ask("human-monitor-command", command_line=line).replace("\r\n", "\n")

    def test_only_what_works_is_listed(self):
        listed = self.process.ask("query-migrate-capabilities")
        self.assertEqual(sorted(c["capability"] for c in listed), CAPABILITIES)
        self.assertEqual({c["capability"] for c in listed if c["state"]}, {"events", "return-path"})
        self.assertEqual(self.process.ask("query-migrate-parameters"), PARAMETERS)

    def test_introspection_knows_the_same(self):
        schema = {entry["name"]: entry for entry in self.process.ask("query-qmp-schema")}

        def argument(command, member):
            members = schema[schema[command]["arg-type"]]["members"]
            return next(schema[m["type"]] for m in members if m["name"] == member)

        arguments = schema[schema["migrate-set-parameters"]["arg-type"]]["members"]
        self.assertEqual({m["name"] for m in arguments}, set(PARAMETERS))
        method = argument("migrate-set-parameters", "multifd-compression")
        self.assertEqual(set(method["values"]), {"none", "zlib", "zstd"})
        self.assertEqual(set(argument("calc-dirty-rate", "mode")["values"]), {"page-sampling", "dirty-bitmap"})
        element = schema[schema[argument("migrate-set-capabilities", "capabilities")["element-type"]]["name"]]
        capability = next(m for m in element["members"] if m["name"] == "capability")
        self.assertEqual(sorted(schema[capability["type"]]["values"]), CAPABILITIES)

    def test_what_is_not_there_is_refused_by_name(self):
        for capability in "postcopy-ram", "xbzrle", "compress", "x-colo":
            self.assertIn(capability, self.process.ask(
                "migrate-set-capabilities", capabilities=[{"capability": capability, "state": True}]))
        for parameter in "compress_level", "tls_creds", "xbzrle_cache_size":
            self.assertIn(parameter.replace("_", "-"), self.process.ask("migrate-set-parameters", **{parameter: 1}))

    def test_people_move_a_domain_through_a_command(self):
        path = self.directory / "saved"
        self.assertEqual(self.say("info migrate"), "")
        self.assertEqual(self.say(f'migrate -d "exec:cat > {path}"'), "")
        self.process.wait("completed")
        shown = self.say("info migrate")
        self.assertRegex(shown, r"(?s)^Migration status: completed\ntotal time: \d+ ms\n"
                         r"downtime: \d+ ms\nsetup: \d+ ms\ntransferred ram: \d+ kbytes\n.*page size: 4 kbytes\n"
                         r".*dirty pages rate: \d+ pages\n")
        self.process = Process(self, "-incoming", "defer")
        self.assertEqual(self.say(f'migrate_incoming "exec:cat {path}"'), "")
        self.process.wait("completed")

    def test_people_hear_why_it_failed(self):
        self.assertIn("in the background", self.say("migrate unix:/nowhere"))
        self.process.wait("failed")
        self.assertRegex(self.say("info migrate"), r"Migration status: failed \(.*/nowhere.*\)\n")
        self.assertIn("no place", self.say("migrate gopher:x"))
        self.assertIn("is missing", self.say("migrate"))
        self.assertIn("no URI", self.say("migrate -d"))
        self.assertIn("'-b' is no option", self.say("migrate -b tcp:x:1"))
        self.assertIn("does not end", self.say("migrate \"exec:x"))

    def test_people_set_capabilities_and_parameters(self):
        self.assertEqual(self.say("migrate_set_capability multifd on"), "")
        self.assertIn("multifd: on\nauto-converge: off\n", self.say("info migrate_capabilities"))
        self.assertIn("postcopy", self.say("migrate_set_capability postcopy-ram on"))
        for parameter, value, shown in (("max-bandwidth", "5", "max-bandwidth: 5242880 bytes/second"),
                                        ("max-bandwidth", "1g", "max-bandwidth: 1073741824 bytes/second"),
                                        ("downtime-limit", "77", "downtime-limit: 77 ms"),
                                        ("announce-step", "99", "announce-step: 99 ms"),
                                        ("multifd-compression", "zstd", "multifd-compression: zstd"),
                                        ("cpu-throttle-tailslow", "on", "cpu-throttle-tailslow: on"),
                                        ("cpu-throttle-initial", "30", "cpu-throttle-initial: 30")):
            self.assertEqual(self.say(f"migrate_set_parameter {parameter} {value}"), "")
            self.assertIn(f"{shown}\n", self.say("info migrate_parameters"))
        self.assertIn("tls-creds", self.say("migrate_set_parameter tls-creds x"))

    def test_people_measure_the_dirty_rate(self):
        self.assertIn("Status: unstarted\n", self.say("info dirty_rate"))
        self.assertIn("info dirty_rate", self.say("calc_dirty_rate -b 1"))
        while "Status: measured" not in (shown := self.say("info dirty_rate")):
            self.assertIn("Dirty rate: (not ready)\n", shown)
        self.assertIn("Mode: dirty-bitmap\nDirty rate: 0 (MB/s)\n", shown)
        self.assertIn("calc-time", self.say("calc_dirty_rate 61"))
        self.assertIn("sample-pages", self.say("calc_dirty_rate 1 5"))
        self.assertIn("is missing", self.say("calc_dirty_rate -b"))
        self.assertIn("too many", self.say("calc_dirty_rate 1 512 1"))


if __name__ == "__main__":
    unittest.main()
