"""The module's options."""

import tempfile
import unittest
from typing import Any

from matrix_register_bot_synapse.config import Config, parse

ENDPOINT = "http://127.0.0.1:8080"
BASE = ENDPOINT + "/_matrix-internal/identity/v1/"


class Options(unittest.TestCase):
    def refused(self, because: str, **options: Any) -> None:
        with self.assertRaises(ValueError) as caught:
            parse({"endpoint": ENDPOINT, **options})
        self.assertIn(because, str(caught.exception))

    def test_an_endpoint_is_enough(self) -> None:
        self.assertEqual(parse({"endpoint": ENDPOINT}), Config(BASE + "check_credentials", BASE + "identity_single", 10.0, None))

    def test_a_slash_at_the_end_of_the_endpoint_does_no_harm(self) -> None:
        self.assertEqual(parse({"endpoint": ENDPOINT + "/"}), parse({"endpoint": ENDPOINT}))

    def test_an_endpoint_may_have_a_path(self) -> None:
        self.assertEqual(parse({"endpoint": "https://bot.example.org/mxbot"}).check_url,
                         "https://bot.example.org/mxbot/_matrix-internal/identity/v1/check_credentials")

    def test_the_lookup_may_be_elsewhere_or_off(self) -> None:
        for value, url in (("/internal/identity_single", ENDPOINT + "/internal/identity_single"),
                           ("http://[::1]:9/x", "http://[::1]:9/x"), ("", None)):
            self.assertEqual(parse({"endpoint": ENDPOINT, "identity_endpoint": value}).lookup_url, url)

    def test_what_is_no_url_is_refused(self) -> None:
        for value in (None, 8080, "", "127.0.0.1:8080", "ftp://x", "http://", "http://a:b@x", "http://x?y", "http://x/#y",
                      "http://x:99999", "http://x:y", "http://x/a b", "http://x/\n", "http://ünï.test"):
            self.refused("endpoint must be a URL", endpoint=value)
        for value in (None, "identity_single", False):
            self.refused("identity_endpoint must be a URL", identity_endpoint=value)

    def test_an_unknown_option_is_refused_with_the_known_ones(self) -> None:
        self.refused("'timeout' is not an option; there are endpoint, identity_endpoint, timeout_seconds", timeout=3)
        self.refused("'policy' is not an option", policy={})

    def test_options_that_are_no_mapping_are_refused(self) -> None:
        for options in ([], "endpoint", None):
            with self.assertRaisesRegex(ValueError, "config must hold"):
                parse(options)

    def test_a_time_out_is_a_number_of_seconds(self) -> None:
        self.assertEqual(parse({"endpoint": ENDPOINT, "timeout_seconds": 2.5}).timeout_seconds, 2.5)
        for value in (0, -1, 61, "10", True, None, float("nan")):
            self.refused("timeout_seconds must be a number above 0", timeout_seconds=value)

    def test_a_secret_comes_from_an_option_or_a_file_and_is_never_shown(self) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("s3cret\n")
            file.flush()
            for options in ({"shared_secret": "s3cret"}, {"shared_secret_file": file.name}):
                config = parse({"endpoint": ENDPOINT, **options})
                self.assertEqual(config.shared_secret, "s3cret")
                self.assertNotIn("s3cret", repr(config))
            self.refused("both given", shared_secret="a", shared_secret_file=file.name)

    def test_a_secret_that_cannot_be_sent_is_refused(self) -> None:
        for value in ("", "a b", "a\r\nX: y", "schlüssel"):
            self.refused("shared_secret must give one word", shared_secret=value)
        self.refused("shared_secret must be a string", shared_secret=None)
        self.refused("shared_secret_file cannot be read", shared_secret_file="/nonexistent/secret")
        self.refused("shared_secret_file must give one word", shared_secret_file="/dev/null")
