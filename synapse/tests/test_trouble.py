"""A bot that answers wrongly, late or not at all: nobody is let in, Synapse keeps working, and the log says why."""

import json
import shutil
import tempfile
import threading
import time
from typing import Any

from stub_bot import Raw, yes
from world import TIMEOUT_SECONDS, SynapseTest, start_synapse, with_module


class WrongAnswers(SynapseTest):
    def yes(self) -> bytes:
        return json.dumps(yes(self.name)).encode()

    def refused_with(self, reason: str, answer: Any) -> None:
        """Nobody is let in, no account is created, and there is one warning with the reason but without a password."""
        self.bot_says(answer)
        self.log_start = self.world.log_size()
        self.assert_refused(self.log_in())
        self.assertIsNone(self.account())
        warnings = self.warnings()
        self.assertEqual(len(warnings), 1, warnings)
        self.assertIn(reason, warnings[0])
        self.assertIn(f"http://127.0.0.1:{self.bot.port}/_matrix-internal/identity/v1/check_credentials", warnings[0])

    def test_a_status_other_than_200_is_no_yes(self) -> None:
        for status in (201, 202, 204, 206, 400, 401, 403, 404, 500, 502, 503):
            body = b"" if status == 204 else self.yes()
            self.refused_with(f"answered with status {status} and ", Raw(status, body))

    def test_a_403_hints_at_the_bots_list_of_callers(self) -> None:
        self.refused_with("does the bot's allowed_addresses hold this machine?", Raw(403, b"{}"))

    def test_a_redirect_is_not_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            self.bot.requests.clear()
            self.refused_with(f"status {status}", Raw(status, b"", {"Location": f"http://127.0.0.1:{self.bot.port}/elsewhere"}))
            self.assertEqual(len(self.bot.requests), 1)

    def test_what_is_not_the_bots_json_is_no_yes(self) -> None:
        yes = self.yes()
        for body in (b"", b"OK", b"true", b"<html>502</html>", b"[1]", b'{"auth":null}', b'{"auth":[]}', yes + b"<br>Notice", yes[:-2]):
            self.refused_with("is not understood", Raw(200, body))

    def test_success_that_is_not_true_is_no_yes(self) -> None:
        for success in ("true", "false", 1, None, {}):
            answer = yes(self.name)
            answer["auth"]["success"] = success
            self.refused_with("auth.success is ", answer)

    def test_a_yes_for_another_user_is_no_yes(self) -> None:
        self.refused_with("auth.mxid is not the id that was asked", yes("alice"))
        answer = yes(self.name)
        answer["auth"]["id"]["value"] = "alice"
        self.refused_with("auth.id is not the id that was asked", answer)

    def test_the_content_type_does_not_matter(self) -> None:
        self.bot_says(Raw(200, self.yes(), {"Content-Type": "text/plain"}))
        self.assert_let_in(self.log_in())

    def test_a_huge_answer_is_not_read(self) -> None:
        padded = {**yes(self.name), "padding": "x" * 5_000_000}
        self.refused_with("larger than 65536 bytes", Raw(200, json.dumps(padded).encode()))

    def test_what_is_not_http_is_no_yes(self) -> None:
        for wire in (b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + self.yes()):
            self.refused_with("cannot be reached", Raw(wire=wire))

    def test_an_answer_that_echoes_the_question_does_not_bring_the_password_into_the_log(self) -> None:
        # As an error page of a server might do.
        password = "hunter2-" + self.name
        page = f"<p>wrong: {password}".encode()
        for answer in ({"user": {"password": password}}, Raw(500, page), Raw(200, page),
                       {"auth": {"success": password}}, {"auth": {"success": True, "mxid": password}}):
            self.bot_says(answer)
            self.assert_refused(self.log_in(password=password))
        self.assertEqual(len(self.warnings()), 5)
        self.assertNotIn("hunter2", self.world.log_from(self.log_start))


class AwayOrSlow(SynapseTest):
    def test_a_bot_that_does_not_listen_is_one_clear_line_and_comes_back(self) -> None:
        self.bot_knows()
        self.bot.stop()
        try:
            self.assert_refused(self.log_in())
        finally:
            self.bot.start()
        [warning] = self.warnings()
        self.assertRegex(warning, r"^cannot be reached at http://127\.0\.0\.1:\d+/_matrix-internal/\S+: ConnectionRefusedError: ")
        self.assert_let_in(self.log_in())

    def test_synapse_serves_others_while_the_bot_thinks(self) -> None:
        self.bot_says(Raw(200, json.dumps(yes(self.name)).encode(), seconds_before=3))
        results: list[Any] = []
        login = threading.Thread(target=lambda: results.append(self.log_in()))
        with self.took(at_least=3, less_than=TIMEOUT_SECONDS):
            login.start()
            while not self.bot.requests:
                time.sleep(0.01)
            for _ in range(10):
                with self.took(at_least=0, less_than=1):
                    self.assertEqual(self.world.call("GET", "/_matrix/client/versions")[0], 200)
            self.assertEqual(results, [])
            login.join()
        self.assert_let_in(results[0])

    def test_the_bot_may_ask_synapse_while_synapse_waits_for_it(self) -> None:
        def asks_back(_: Any) -> Any:
            self.assertEqual(self.world.call("GET", "/_matrix/client/versions")[0], 200)
            return yes(self.name)

        self.bot.answer = asks_back
        self.assert_let_in(self.log_in())

    def test_an_answer_that_does_not_come_ends_with_the_time_out(self) -> None:
        self.bot_says(Raw(200, json.dumps(yes(self.name)).encode(), seconds_before=TIMEOUT_SECONDS + 2))
        with self.took(at_least=TIMEOUT_SECONDS, less_than=TIMEOUT_SECONDS + 1.5):
            self.assert_refused(self.log_in())
        [warning] = self.warnings()
        self.assertIn(f"no full answer within {TIMEOUT_SECONDS} s", warning)

    def test_an_answer_that_drips_ends_with_the_time_out(self) -> None:
        self.bot_says(Raw(200, json.dumps(yes(self.name)).encode(), seconds_between_bytes=0.1))
        with self.took(at_least=TIMEOUT_SECONDS, less_than=TIMEOUT_SECONDS + 1.5):
            self.assert_refused(self.log_in())
        [warning] = self.warnings()
        self.assertIn(f"no full answer within {TIMEOUT_SECONDS} s", warning)


class WrongOptions(SynapseTest):
    def setUp(self) -> None:
        """No running Synapse is needed."""

    def test_synapse_does_not_start_with_a_wrong_option_and_says_which(self) -> None:
        folder = tempfile.mkdtemp(prefix="module-")
        try:
            started = start_synapse(*with_module(folder, {"endpoint": "http://127.0.0.1:1", "timeout": 3}))
        finally:
            start_synapse("stop", "--dir", folder)
            shutil.rmtree(folder, ignore_errors=True)
        self.assertNotEqual(started.returncode, 0)
        self.assertIn("'timeout' is not an option; there are endpoint,", started.stderr)
