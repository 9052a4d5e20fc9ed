"""Typed names that belong to an account of this homeserver."""

import unittest

from matrix_register_bot_synapse.names import own_localpart


class OwnLocalpart(unittest.TestCase):
    def test_a_name_or_a_full_id_of_this_server_is_its_localpart(self) -> None:
        for typed in ("max", "@max:example.test", "Max", "MAX", "@Max:example.test"):
            self.assertEqual(own_localpart(typed, "example.test"), "max", typed)
        self.assertEqual(own_localpart("a.b_c=d-e/f+9", "example.test"), "a.b_c=d-e/f+9")
        self.assertEqual(own_localpart("@max:[::1]:8448", "[::1]:8448"), "max")

    def test_other_servers_and_odd_names_are_nobody(self) -> None:
        odd = ["@max:other.test", "@max:x:example.test",
               "@max:example.test:x", "@max", "@:example.test", "@", "", "a:b", "max:example.test",
               "n 5", " max", "max\n", "ünï", "ma\u212a", "max@example.org", "@max:EXAMPLE.test", "@@max:example.test", "x\0", "x" * 250]
        for typed in odd:
            self.assertIsNone(own_localpart(typed, "example.test"), typed)
