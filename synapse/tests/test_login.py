"""Logins to a real Synapse: who is let in, as which user, and what the bot is asked."""

import json
from concurrent.futures import ThreadPoolExecutor

from stub_bot import CHECK, LOOKUP, mail
from world import SECRET, SynapseTest


class ByName(SynapseTest):
    def test_a_right_password_logs_in_and_a_wrong_one_does_not(self) -> None:
        self.bot_knows()
        self.assert_let_in(self.log_in())
        self.assert_refused(self.log_in(password="wrong"))

    def test_the_bot_is_asked_as_it_expects(self) -> None:
        self.bot_knows()
        self.assert_let_in(self.log_in())
        [request] = self.bot.requests
        self.assertEqual((request.method, request.path), ("POST", CHECK))
        self.assertEqual(request.json, {"user": {"id": self.mxid, "password": self.password}})
        self.assertEqual(request.headers["Content-Type"], "application/json")
        self.assertEqual(request.headers["X-Register-Bot-Secret"], SECRET)
        self.assertEqual(request.headers["X-Register-Bot-Client"], "127.0.0.1")

    def test_name_full_id_capitals_and_the_old_body_are_the_same_account(self) -> None:
        self.bot_knows()
        for user in (self.name, self.mxid, self.name.upper(), self.mxid.replace("user", "USER"), self.name.capitalize()):
            self.assert_let_in(self.log_in(user))
        old = {"type": "m.login.password", "user": self.name, "password": self.password}
        self.assert_let_in(self.world.call("POST", "/_matrix/client/r0/login", old))
        self.assertEqual({question["user"]["id"] for question in self.bot.asked()}, {self.mxid})

    def test_a_first_login_in_capitals_makes_the_lower_case_account(self) -> None:
        self.bot_knows()
        self.assert_let_in(self.log_in(self.name.upper()))

    def test_the_bot_is_never_asked_for_foreign_or_odd_names(self) -> None:
        self.bot_knows()
        for pattern in ("@{}:other.test", "{}:x", "@{}:x:example.test", "@{}:example.test:x", "@{}", "{} ", "ü{}", "{}@example.org"):
            self.assert_refused(self.log_in(pattern.format(self.name)))
        self.assertEqual(self.bot.requests, [])

    def test_an_unknown_user_is_refused_and_no_account_is_made(self) -> None:
        self.assert_refused(self.log_in())
        self.assertEqual(len(self.bot.requests), 1)
        self.assertIsNone(self.account())
        self.assertEqual(self.warnings(), [])

    def test_an_account_with_a_password_in_synapse_still_logs_in_after_the_bots_no(self) -> None:
        self.assert_let_in(self.log_in("alice", "pw-alice"), "@alice:example.test")

    def test_a_deactivated_account_stays_out_and_stays_empty(self) -> None:
        self.bot_knows(display_name="Max Muster", three_pids=[mail(self.address)])
        self.assert_let_in(self.log_in())
        self.make_account(deactivated=True)
        before = self.account()
        status, body = self.log_in()
        self.assertEqual((status, body["errcode"]), (403, "M_USER_DEACTIVATED"))
        self.assertEqual(self.account(), before)
        self.assert_account(before["displayname"] if before else None)

    def test_a_locked_account_stays_out(self) -> None:
        self.bot_knows()
        self.assert_let_in(self.log_in())
        self.make_account(locked=True)
        status, body = self.log_in()
        self.assertEqual((status, body["errcode"]), (401, "M_USER_LOCKED"))

    def test_a_name_that_synapse_refuses_is_a_refused_login_with_a_line_in_the_log(self) -> None:
        self.bot_knows("_reserved")
        self.assert_refused(self.log_in("_reserved"))
        [warning] = self.warnings()
        self.assertIn("Synapse did not make @_reserved:example.test: User ID may not begin with _", warning)


class ByMailAddress(SynapseTest):
    def test_the_first_login_may_be_by_mail_address(self) -> None:
        self.bot_knows(display_name="Max Muster", three_pids=[mail(self.address)])
        self.assert_let_in(self.log_in_by_mail(self.address.upper()))
        self.assert_account("Max Muster", self.address)
        self.assertEqual(self.bot.asked(LOOKUP), [{"lookup": {"medium": "email", "address": self.address}}])
        self.assertEqual(self.bot.asked(CHECK), [{"user": {"id": self.mxid, "password": self.password}}])

    def test_an_address_that_synapse_knows_costs_one_question(self) -> None:
        self.bot_knows(three_pids=[mail(self.address)])
        self.assert_let_in(self.log_in())
        self.bot.requests.clear()
        self.assert_let_in(self.log_in_by_mail(self.address.title()))
        self.assert_refused(self.log_in_by_mail(password="wrong"))
        self.assertEqual([question["user"]["id"] for question in self.bot.asked()], [self.mxid, self.mxid])
        self.assertEqual(len(self.bot.requests), 2)

    def test_an_address_belongs_to_whom_synapse_says(self) -> None:
        self.make_account(threepids=[mail(self.address)])
        self.bot_knows("somebody", three_pids=[mail(self.address)])
        self.assert_refused(self.log_in_by_mail())
        self.assertEqual([question["user"]["id"] for question in self.bot.asked()], [self.mxid])

    def test_an_unknown_address_or_a_wrong_password_is_refused(self) -> None:
        self.assert_refused(self.log_in_by_mail())
        self.assertEqual(self.bot.asked(CHECK), [])
        self.bot_knows(three_pids=[mail(self.address)])
        self.assert_refused(self.log_in_by_mail(password="wrong"))
        self.assertIsNone(self.account())

    def test_the_old_body_with_an_address_works_as_well(self) -> None:
        self.bot_knows(three_pids=[mail(self.address)])
        old = {"type": "m.login.password", "medium": "email", "address": self.address, "password": self.password}
        self.assert_let_in(self.world.call("POST", "/_matrix/client/r0/login", old))

    def test_a_telephone_number_is_not_the_bots(self) -> None:
        self.assert_refused(self.log_in(type="m.id.thirdparty", medium="msisdn", address="491700000000"))
        self.assertEqual(self.bot.requests, [])

    def test_a_malformed_answer_to_the_lookup_lets_nobody_in(self) -> None:
        self.bot_knows(three_pids=[mail(self.address)])
        own = {"type": "localpart", "value": self.name}
        for lookup in (None, {}, {"id": {**own, "value": self.mxid}}, {"address": "b@c", "id": own}):
            self.bot_says({"lookup": lookup})
            self.assert_refused(self.log_in_by_mail())
        self.assertEqual(self.bot.asked(CHECK), [])
        self.assertEqual(len(self.warnings()), 4)


class Profiles(SynapseTest):
    def test_the_first_login_makes_the_account_with_name_and_address_and_one_device(self) -> None:
        self.bot_knows(display_name="Max Müster 😀", three_pids=[mail(self.address.upper()), mail("zwei-" + self.address)])
        self.assert_let_in(self.log_in())
        self.assert_account("Max Müster 😀", self.address, "zwei-" + self.address)
        _, devices = self.world.call("GET", f"/_synapse/admin/v2/users/{self.mxid}/devices", token=self.world.admin_token)
        self.assertEqual(devices["total"], 1)

    def test_a_yes_without_name_and_address_is_enough(self) -> None:
        self.bot_knows()
        self.assert_let_in(self.log_in())
        self.assert_account(self.name)

    def test_an_account_made_before_gets_name_and_address_at_its_first_login(self) -> None:
        for displayname in (None, ""):
            self.setUp()
            self.make_account(**({} if displayname is None else {"displayname": displayname}))
            self.bot_knows(display_name="Max Muster", three_pids=[mail(self.address)])
            self.assert_let_in(self.log_in())
            self.assert_account("Max Muster", self.address)

    def test_a_name_that_is_there_is_kept(self) -> None:
        self.make_account(displayname="Chosen")
        self.bot_knows(display_name="Max Muster")
        self.assert_let_in(self.log_in())
        self.assert_account("Chosen")

    def test_a_name_that_the_user_took_away_stays_away(self) -> None:
        self.bot_knows(display_name="Max Muster")
        token = self.assert_let_in(self.log_in())
        status, _ = self.world.call("PUT", f"/_matrix/client/v3/profile/{self.mxid}/displayname", {"displayname": ""}, token)
        self.assertEqual(status, 200)
        self.assert_let_in(self.log_in())
        self.assert_account(None)

    def test_a_new_address_is_added_at_a_later_login(self) -> None:
        self.bot_knows(three_pids=[mail(self.address)])
        self.assert_let_in(self.log_in())
        self.bot_knows(three_pids=[mail("new-" + self.address)])
        self.assert_let_in(self.log_in())
        self.assert_account(self.name, self.address, "new-" + self.address)

    def test_an_address_of_another_account_stays_there(self) -> None:
        self.make_account(threepids=[mail(self.address)])
        owner = self.mxid
        for make_before in (False, True):
            self.setUp()
            if make_before:
                self.make_account()
            self.bot_knows(three_pids=[mail(owner[1:].partition(":")[0] + "@example.org"), mail(self.address)])
            self.assert_let_in(self.log_in())
            self.assert_account(self.name, self.address)
        self.assert_account(owner[1:].partition(":")[0], owner[1:].partition(":")[0] + "@example.org", mxid=owner)

    def test_parts_of_a_profile_that_are_odd_do_not_fail_the_login(self) -> None:
        for profile in (None, [], {"display_name": None, "three_pids": None}, {"display_name": 5, "three_pids": [{"address": "a@b"}]},
                        {"display_name": "x" * 300, "three_pids": "a@b"}, {"display_name": "", "three_pids": [None, mail("x")]}):
            self.setUp()
            self.bot_says({"auth": {"success": True, "profile": profile}})
            self.assert_let_in(self.log_in())
            self.assert_account(self.name)

    def test_first_logins_at_the_same_moment_all_work(self) -> None:
        self.bot_knows(display_name="Max Muster", three_pids=[mail(self.address)])
        with ThreadPoolExecutor(8) as pool:
            for result in list(pool.map(lambda _: self.log_in(), range(8))):
                self.assert_let_in(result)
        self.assert_account("Max Muster", self.address)


class AskedAgain(SynapseTest):
    def test_deleting_a_device_asks_the_bot_for_the_password(self) -> None:
        self.bot_knows()
        token = self.assert_let_in(self.log_in())
        _, other = self.log_in()
        path = "/_matrix/client/v3/devices/" + other["device_id"]
        status, body = self.world.call("DELETE", path, {}, token)
        self.assertEqual((status, body["flows"]), (401, [{"stages": ["m.login.password"]}]))
        self.bot.requests.clear()
        for password, wanted in (("wrong", 401), (self.password, 200)):
            auth = {"type": "m.login.password", "session": body["session"], "password": password,
                    "identifier": {"type": "m.id.user", "user": self.name}}
            status, answer = self.world.call("DELETE", path, {"auth": auth}, token)
            self.assertEqual(status, wanted, json.dumps(answer))
        self.assertEqual([question["user"]["password"] for question in self.bot.asked()], ["wrong", self.password])

    def test_the_password_of_another_user_does_not_count(self) -> None:
        self.bot_knows()
        token = self.assert_let_in(self.log_in())
        _, other = self.log_in()
        self.bot_knows("another")
        auth = {"type": "m.login.password", "password": self.password, "identifier": {"type": "m.id.user", "user": "another"}}
        status, _ = self.world.call("DELETE", "/_matrix/client/v3/devices/" + other["device_id"], {"auth": auth}, token)
        self.assertEqual(status, 403)
