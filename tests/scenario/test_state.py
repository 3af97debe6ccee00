"""What is remembered: the state database."""

import os
import signal
import sqlite3
import subprocess

import driver
from driver import fleet


class Database(driver.Case):
    def test_the_schema_is_what_is_documented(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        tables = sup.db("select name, type from sqlite_schema where type in ('table', 'view')")
        pages = driver.read(os.path.join(driver.ROOT, "state", "SCHEMA.md"))
        for name, _ in tables:
            self.assertIn(name, pages)
            for column in sup.db("select name from pragma_table_info('%s')" % name):
                self.assertIn(column["name"], pages, "column of " + name)
        self.assertGreater(sup.db("pragma user_version")[0][0], 0)
        self.assertEqual(sup.db("pragma journal_mode")[0][0], "wal")

    def test_the_sqlite3_program_reads_it_meanwhile(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 1 60"; processes = 5;'))
        sup.wait_db("select * from exits", rows=5)
        done = subprocess.run(["sqlite3", "-readonly", sup.db_path, "select count(*) from exits"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreater(int(done.stdout), 4)

    def test_a_reader_that_never_ends_does_not_stop_it(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 1 60";'))
        sup.wait_db("select * from exits")
        reader = sqlite3.connect("file:%s?mode=ro" % sup.db_path, uri=True, isolation_level=None)
        reader.execute("begin")
        count = reader.execute("select count(*) from exits").fetchone()[0]
        sup.wait_db("select * from exits", rows=count + 5)
        reader.close()

    def test_instances(self):
        sup = self.supervisord(fleet(web='command = "@P/pause"; processes = 2;', off='command = "@P/pause"; autostart = false;'))
        sup.wait_running("web")
        sup.ctl_ok("stop", "web:1")
        rows = sup.wait_db("select * from instances where name = 'web:1' and state = 'STOPPED'")
        self.assertEqual((rows[0]["wanted_up"], rows[0]["wanted_by_user"]), (0, 1))
        row = sup.wait_db("select * from instances where name = 'web:0' and state = 'RUNNING'")[0]
        self.assertEqual((row["pid"], row["worker"], row["idx"]), (sup.pid("web:0"), "web", 0))
        self.assertEqual(row["start_ticks"], driver.stat_of(row["pid"])[2])
        self.assertEqual(row["boot_id"], driver.read("/proc/sys/kernel/random/boot_id").strip())

    def test_an_event_knows_its_actor(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        sup.ctl_ok("stop", "web")
        rows = sup.wait_db("select * from events where name = 'web:0' and to_state = 'STOPPING'")
        self.assertEqual(rows[0]["actor_uid"], os.getuid())
        self.assertGreater(rows[0]["actor_pid"], 0)
        self.assertIn("stop web", rows[0]["actor_command"])
        first = sup.db("select * from events where name = 'web:0' order by id")[0]
        self.assertEqual((first["from_state"], first["to_state"]), ("STOPPED", "STARTING"))
        self.assertIsNone(first["actor_command"])

    def test_events_are_in_order_and_a_chain(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 1 70"; processes = 4; backoff: { initial = "5ms"; };'))
        sup.wait_db("select * from events", rows=60)
        for name in ("web:0", "web:1", "web:2", "web:3"):
            state = "STOPPED"
            for row in sup.db("select * from events where name = ? and kind = 'state' order by id", name):
                self.assertEqual(row["from_state"], state)
                state = row["to_state"]
        times = [r["at_ms"] for r in sup.db("select at_ms from events order by id")]
        self.assertEqual(times, sorted(times))

    def test_an_exit_is_told_whole(self):
        sup = self.supervisord(fleet(
            web='command = [ "/bin/sh", "-c", "echo first; echo last words; exit 3" ]; restart = "never"; start_seconds = "0s"; start_retries = 0;'))
        row = sup.wait_db("select * from exits where last_lines is not null")[0]
        self.assertEqual((row["name"], row["code"], row["signal"] or 0, row["core"]), ("web:0", 3, 0, 0))
        self.assertIn("last words", row["last_lines"])
        self.assertEqual(row["cause"], "exited 3")
        self.assertGreaterEqual(row["duration_ms"], 0)
        self.assertLessEqual(row["started_ms"], row["ended_ms"])
        self.assertGreater(row["maxrss_kb"], 0)

    def test_history_and_events_by_command(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 4 60"; start_retries = -1;'))
        sup.wait_db("select * from exits", rows=3)
        out = sup.ctl_ok("history", "web")
        self.assertIn("exited 4", out)
        rows = sup.ctl_json("history", "web:0")
        self.assertEqual(rows[0]["exit"]["code"], 4)
        out = sup.ctl_ok("events", "--since", "1h")
        self.assertIn("RUNNING", out)
        self.assertIn("BACKOFF", str(sup.ctl_json("events")))

    def test_incarnations(self):
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        sup.kill_master()
        rows = sup.wait_db("select * from incarnations order by id", rows=2)
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[0]["run"], rows[1]["run"])
        self.assertEqual(sup.shutdown(), 0)
        sup.start()
        rows = sup.wait_db("select * from incarnations order by id", rows=3)
        self.assertEqual(len(rows), 3)
        self.assertEqual(rows[1]["in_order"], 1)
        self.assertNotEqual(rows[2]["run"], rows[1]["run"])
        self.assertTrue(sup.db("select * from events where id < 5"), "history outlives a restart")

    def test_state_in_memory(self):
        sup = self.supervisord(fleet(web='command = "@P/exits 4 60";', loud='command = "@P/floods 3";'),
                               state_dir="none")
        sup.log_dir = sup.run_dir + "/log"
        sup.wait_stdout("loud:0", "^line 2$")
        sup.wait(lambda rows: rows[0]["restarts"] > 1)
        driver.eventually(lambda: len(sup.rpc("history", targets=["web"])) > 1)
        self.assertFalse(os.path.exists(sup.db_path))
        before = {(e["name"], e["pid"]) for e in sup.rpc("history", targets=["web"])}
        sup.kill_master()
        after = [(e["name"], e["pid"]) for e in sup.rpc("history", targets=["web"])]
        self.assertLessEqual(before, set(after), "exits are lost with the master")
        self.assertEqual(len(after), len(set(after)))
        sup.wait(lambda rows: rows[0]["restarts"] > 3)

    def test_a_stop_outlives_a_restart_of_supervisord_or_not_as_systemd_would(self):
        """A stop lasts across crashes and reloads; a new supervisord starts
        what autostart says."""
        sup = self.supervisord(fleet(web='command = "@P/pause";'))
        sup.wait_running()
        sup.ctl_ok("stop", "web")
        sup.kill_master()
        self.assertEqual(sup.one("web:0")["state"], "STOPPED")
        os.kill(sup.guardian(), signal.SIGTERM)
        self.assertEqual(sup.wait_end(), 0)
