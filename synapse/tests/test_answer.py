"""The meaning of the bot's answers, and that only a yes counts as one."""

import json
import unittest
from typing import Any

from matrix_register_bot_synapse.answer import Malformed, Profile, read_check, read_lookup

MXID = "@max:example.test"
YES: dict[str, Any] = {
    "success": True,
    "id": {"type": "localpart", "value": "max"},
    "mxid": MXID,
    "profile": {"display_name": "Max Muster", "three_pids": [{"medium": "email", "address": "Max@Example.org"}]},
}


def check(auth: Any) -> Profile | None:
    return read_check(json.dumps({"auth": auth}).encode(), "max", MXID)


class Check(unittest.TestCase):
    def malformed(self, body: bytes) -> None:
        with self.assertRaises(Malformed, msg=body[:80]):
            read_check(body, "max", MXID)

    def test_the_bots_yes_is_a_yes_with_its_profile(self) -> None:
        self.assertEqual(check(YES), Profile("Max Muster", ("max@example.org",)))

    def test_the_bots_no_is_a_no_whatever_else_it_says(self) -> None:
        self.assertIsNone(check({"success": False}))
        self.assertIsNone(check({**YES, "success": False}))

    def test_members_that_are_optional_may_be_missing(self) -> None:
        self.assertEqual(check({"success": True}), Profile())
        self.assertEqual(check({"success": True, "id": {"type": "mxid", "value": MXID}, "more": 1}), Profile())

    def test_success_is_only_the_boolean_true(self) -> None:
        for value in ("true", "false", "", 1, 0, 1.0, None, [], [True], {}, {"success": True}):
            self.malformed(json.dumps({"auth": {**YES, "success": value}}).encode())
        self.malformed(json.dumps({"auth": {"mxid": MXID}}).encode())

    def test_a_yes_for_somebody_else_is_no_yes(self) -> None:
        for value in ("@eve:example.test", "@max:other.test", "@MAX:example.test", "max", "", None, [MXID]):
            self.malformed(json.dumps({"auth": {**YES, "mxid": value}}).encode())
        for value in ({"type": "localpart", "value": "eve"}, {"type": "mxid", "value": "max"}, {"type": "email", "value": "max"},
                      {"value": "max"}, "max", None, {}, [], {"type": "localpart", "value": MXID}):
            self.malformed(json.dumps({"auth": {**YES, "id": value}}).encode())

    def test_what_is_no_json_object_of_the_bot_is_no_yes(self) -> None:
        yes = json.dumps({"auth": YES}).encode()
        for body in (b"", b"null", b"true", b"[]", b"{}", b'"yes"', b"<html>true</html>",
                     b'{"auth":null}', b'{"auth":true}', b'{"auth":[]}',
                     b'{"success":true}', yes[:-1], yes + b"x", yes + yes, b"Notice: x\n" + yes, b"\xef\xbb\xbf" + yes, b"\xff" + yes,
                     yes.decode().encode("utf-16"), b"[" * 60000, b'{"auth":' * 9000, b"9" * 60000):
            self.malformed(body)

    def test_an_answer_that_says_success_twice_is_no_yes(self) -> None:
        self.malformed(b'{"auth":{"success":false,"success":true}}')
        self.malformed(b'{"auth":{"success":false},"auth":{"success":true}}')

    def test_what_is_wrong_is_named_without_showing_a_value(self) -> None:
        with self.assertRaises(Malformed) as caught:
            check({"success": "hunter2"})
        self.assertEqual(str(caught.exception), "auth.success is a string, not true or false")
        with self.assertRaises(Malformed) as caught:
            read_check(b'{"password": hunter2}', "max", MXID)
        self.assertEqual(str(caught.exception), "it is not JSON (JSONDecodeError)")

    def test_a_display_name_that_synapse_would_not_take_is_left_out(self) -> None:
        for name in (None, 5, "", "x" * 257, ["Max"], "a\0b", "\ud800"):
            self.assertEqual(check({**YES, "profile": {"display_name": name}}), Profile())
        for name in ("x" * 256, "Max \U0001f600", "D\nE"):
            self.assertEqual(check({**YES, "profile": {"display_name": name}}), Profile(name))

    def test_only_well_formed_mail_addresses_are_taken(self) -> None:
        odd: list[Any] = [None, 1, "a@b", [], {}, {"medium": "email"}, {"address": "a@b.c"}, {"medium": "msisdn", "address": "49170"},
                          {"medium": "EMAIL", "address": "a@b.c"}]
        bad = (None, 3, "", "a", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "\0@b", "\ud800@b", "x" * 250 + "@b.cd")
        odd += [{"medium": "email", "address": address} for address in bad]
        fine = ("Max@Example.org", "max@example.ORG", "zwei@example.org", "Straße@x.org")
        good = [{"medium": "email", "address": address} for address in fine]
        found = check({**YES, "profile": {"three_pids": odd + good}})
        self.assertEqual(found, Profile(None, ("max@example.org", "zwei@example.org", "strasse@x.org")))

    def test_a_profile_of_the_wrong_kind_is_an_empty_one(self) -> None:
        for profile in (None, [], "x", 1, {"three_pids": None}, {"three_pids": {}}, {"three_pids": "a@b.c"}):
            self.assertEqual(check({**YES, "profile": profile}), Profile())


class Lookup(unittest.TestCase):
    def test_an_address_of_an_account_is_its_localpart(self) -> None:
        found = {"lookup": {"medium": "email", "address": "max@example.org", "id": {"type": "localpart", "value": "max"}}}
        self.assertEqual(read_lookup(json.dumps(found).encode(), "max@example.org"), "max")

    def test_an_object_without_lookup_is_nobody(self) -> None:
        self.assertIsNone(read_lookup(b"{}", "max@example.org"))
        self.assertIsNone(read_lookup(b'{"error":"x"}', "max@example.org"))

    def test_anything_else_is_not_understood(self) -> None:
        own = {"type": "localpart", "value": "max"}
        lookups: list[Any] = [None, [], {}, "max", {"id": None}, {"id": "max"}, {"id": {"value": "max"}},
                              {"id": {"type": "mxid", "value": MXID}}, {"id": own, "address": "eve@example.org"},
                              {"id": own, "medium": "msisdn"}]
        lookups += [{"id": {"type": "localpart", "value": value}} for value in (None, 1, "", "Max", MXID, "a:b", "a b", ["max"])]
        for lookup in lookups:
            with self.assertRaises(Malformed, msg=lookup):
                read_lookup(json.dumps({"lookup": lookup}).encode(), "max@example.org")
        for body in (b"", b"[]", b"null", b"x"):
            with self.assertRaises(Malformed, msg=body):
                read_lookup(body, "max@example.org")
