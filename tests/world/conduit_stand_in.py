#!/usr/bin/env python3
"""A stand-in for the homeserver Conduit, which cannot be installed on every test machine. It is not Conduit: it answers as Conduit
0.11 was observed to answer (docs/homeservers.md), where the sign-up and its tests ask, and no further.

  python3 conduit_stand_in.py [--state FILE] [--port 0] [--token TOKEN] [--server-name example.test]

Listens on 127.0.0.1 and then prints one JSON line with its port, its token, and the accounts alice (who approves), bob and
register_bot with their access tokens, and a room with alice and register_bot. With --state everything but the bodies of
unfinished registrations outlives a restart, as on Conduit. Ends on SIGTERM, and when its standard input ends.

PUT /stand_in {...} turns the switches, GET /stand_in shows them and what there is:
  registration  false: allow_registration = false            token     null: no registration_token is configured, open to everybody
  flows         other flows than [[m.login.registration_token]], for its relatives (a list of lists of stages)
  hash_seconds  how long a password is hashed: between the look for the name and the writing of the account there is no lock
  lose          {"POST /_matrix/client/v3/login": 1}: so many next answers to such a request are lost after it was done
  refuse        {"POST ...": [429, {...}]}: the next such request is answered so and not done; [.., .., 3]: the next three
  restart       true: forgets the bodies of unfinished registrations, and all sessions if "sessions"
  password_login false: GET /login lists no m.login.password  forbidden  usernames that are forbidden (conduwuit, Tuwunel)
  validity      true or false: the validity end point exists (relatives)
  lightning     true: enable_lightning_bolt, which is put behind each new display name
  rival         {"name": "password"}: somebody else registers this name in the same moment as the next one who does
"""
import argparse
import json
import os
import random
import re
import socketserver
import string
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN_STAGE = "m.login.registration_token"


def some(letters):
    return "".join(random.SystemRandom().choice(string.ascii_letters + string.digits) for _ in range(letters))


class Refusal(Exception):
    def __init__(self, status, errcode, error=None, **more):
        body = dict(more)
        if errcode:
            # Conduit repeats the code in the text.
            body.update(errcode=errcode, error="%s: %s" % (errcode, error))
        self.status, self.body = status, body


class Conduit:
    def __init__(self, options):
        self.file, self.server_name = options.state, options.server_name
        self.lock = threading.RLock()
        self.switches = {"registration": True, "token": options.token, "flows": None, "hash_seconds": 0.0, "lose": {}, "refuse": {},
                         "password_login": True, "forbidden": [], "validity": False, "rival": {}, "lightning": True}
        self.accounts, self.tokens, self.rooms, self.sent, self.sessions = {}, {}, {}, {}, []
        self.admins, self.bodies, self.log = [], {}, []
        self.own, self.room = {}, None
        if self.file and os.path.exists(self.file):
            with open(self.file) as file:
                self.__dict__.update(json.load(file))
        else:
            self.people()

    def people(self):
        self.accounts["conduit"] = {"password": None, "name": "Conduit Bot", "devices": []}
        for name in ("alice", "bob", "register_bot"):
            self.write_account(name, "pw-" + name, name)
        self.own = {name: self.new_device(name, name.upper()) for name in ("alice", "bob", "register_bot")}
        self.room = self.new_room(self.mxid("register_bot"), [self.mxid("alice")])
        self.member(self.rooms[self.room], self.mxid("alice"), "join", self.mxid("alice"))
        self.keep()

    def keep(self):
        if not self.file:
            return
        kept = ("accounts", "tokens", "rooms", "sent", "sessions", "admins", "own", "room", "log")
        with self.lock:
            with open(self.file + ".new", "w") as file:
                json.dump({name: getattr(self, name) for name in kept}, file)
            os.replace(self.file + ".new", self.file)

    def mxid(self, localpart):
        return "@%s:%s" % (localpart, self.server_name)

    # -- accounts ------------------------------------------------------------------------------------------------------------

    def register(self, body, token, query):
        if token and token not in self.tokens:
            raise Refusal(401, "M_UNAUTHORIZED", "Only application services have a token here.")
        if not self.switches["registration"]:
            raise Refusal(403, "M_FORBIDDEN", "Registration has been disabled.")
        auth = body.get("auth")
        if auth is not None and auth.get("session") and set(body) == {"auth"}:
            # Only the authentication: the rest comes from memory, and is empty after a restart.
            body = dict(self.bodies.get(auth["session"], {}), auth=auth)
        username = body.get("username")
        if username is not None and not isinstance(username, str):
            raise Refusal(400, "M_BAD_JSON", "deserialization failed")
        name = self.free_name(username)
        if not self.authenticated(body, auth):
            return None
        if username is None:
            name = "".join(random.choice(string.ascii_lowercase + string.digits) for _ in range(10))
        rival = self.switches["rival"].pop(name, None)
        time.sleep(self.switches["hash_seconds"])
        # Between the look for the name and this there is no lock: the later of two registrations writes its password over.
        with self.lock:
            self.write_account(name, body.get("password"), name + (" \u26a1\ufe0f" if self.switches["lightning"] else ""))
        if rival is not None:
            threading.Timer(0.7, lambda: self.write_account(name, rival, name)).start()
        answer = {"user_id": self.mxid(name), "device_id": None}
        if not body.get("inhibit_login", False):
            device = body.get("device_id") or some(10)
            answer.update(access_token=self.new_device(name, device), device_id=device)
            if not self.admins:
                self.admins.append(name)
        self.keep()
        return answer

    def free_name(self, username):
        if username is None:
            return None
        name = username.lower()
        if not re.fullmatch(r"[a-z0-9._=/+-]+", name) or len(self.mxid(name)) > 255:
            raise Refusal(400, "M_INVALID_USERNAME", "Username is invalid.")
        if name in self.switches["forbidden"]:
            raise Refusal(403, "M_FORBIDDEN", "Username is forbidden")
        if name in self.accounts:
            raise Refusal(400, "M_USER_IN_USE", "Desired user ID is already taken.")
        return name

    def authenticated(self, body, auth):
        """Whether all stages are done; otherwise raises the 401 that says what is wanted."""
        stages = [TOKEN_STAGE] if self.switches["token"] is not None else ["m.login.dummy"]
        flows = [{"stages": flow} for flow in self.switches["flows"] or [stages]]
        if auth is None:
            session = some(32)
            self.sessions.append([session, []])
            self.bodies[session] = body
            self.keep()
            raise Refusal(401, None, flows=flows, session=session)
        session = auth.get("session")
        known = next((found for found in self.sessions if found[0] == session), None)
        if session is not None and known is None:
            raise Refusal(403, "M_FORBIDDEN", "UIAA session does not exist.")
        if known is None:
            # No session, no request before: one call is enough.
            known = [some(32), []]
            self.sessions.append(known)
        kind = auth.get("type")
        if kind == TOKEN_STAGE:
            if not isinstance(auth.get("token"), str):
                raise Refusal(400, "M_BAD_JSON", "deserialization failed")
            if self.switches["token"] is None or auth["token"].strip() != self.switches["token"]:
                raise Refusal(401, "M_FORBIDDEN", "Invalid registration token.", flows=flows, session=known[0])
        elif kind not in ("m.login.dummy", "m.login.terms"):
            raise Refusal(400, "M_UNRECOGNIZED", "Unknown stage.")
        known[1].append(kind)
        if not any(set(flow["stages"]) <= set(known[1]) for flow in flows):
            raise Refusal(401, None, flows=flows, session=known[0], completed=known[1])
        self.sessions.remove(known)
        self.bodies.pop(known[0], None)
        return True

    def write_account(self, name, password, shown):
        with self.lock:
            self.accounts[name] = {"password": password, "name": shown, "devices": []}

    def new_device(self, name, device):
        with self.lock:
            # Another login to the same device ends its older token at once.
            self.tokens = {token: owner for token, owner in self.tokens.items() if owner != [name, device]}
            token = some(32)
            self.tokens[token] = [name, device]
            if device not in self.accounts[name]["devices"]:
                self.accounts[name]["devices"].append(device)
            return token

    def login(self, body, token, query):
        name = body["identifier"]["user"].lower().lstrip("@").split(":")[0]
        account = self.accounts.get(name)
        if account and account["password"] is None:
            raise Refusal(403, "M_USER_DEACTIVATED", "The user has been deactivated")
        if not account or account["password"] != body["password"]:
            raise Refusal(403, "M_FORBIDDEN", "Wrong username or password.")
        device = body.get("device_id") or some(10)
        answer = {"user_id": self.mxid(name), "access_token": self.new_device(name, device), "home_server": self.server_name, "device_id": device}
        self.keep()
        return answer

    def logout(self, body, token, query):
        name, device = self.owner(token)
        del self.tokens[token]
        self.accounts[name]["devices"].remove(device)
        self.keep()
        return {}

    def owner(self, token):
        if token not in self.tokens:
            raise Refusal(401, "M_UNKNOWN_TOKEN", "Unknown access token.", soft_logout=False)
        return self.tokens[token]

    def me(self, token):
        return self.mxid(self.owner(token)[0])

    def available(self, body, token, query):
        self.free_name(query["username"])
        return {"available": True}

    def profile(self, body, token, query, user):
        account = self.accounts.get(user[1:].split(":")[0])
        if account is None:
            raise Refusal(404, "M_NOT_FOUND", "Profile was not found.")
        return {"displayname": account["name"]}

    def set_name(self, body, token, query, user):
        # The name in the path does not matter: it is always the owner's.
        self.accounts[self.owner(token)[0]]["name"] = body["displayname"]
        self.keep()
        return {}

    # -- rooms ---------------------------------------------------------------------------------------------------------------

    def new_room(self, creator, invited):
        room_id = "!" + some(20)
        room = {"events": [], "state": {}}
        self.rooms[room_id] = room
        self.state(room, "m.room.create", "", {"room_version": "12"}, creator)
        self.member(room, creator, "join", creator)
        self.state(room, "m.room.power_levels", "", {"users": {}, "users_default": 0}, creator)
        for guest in invited:
            self.member(room, guest, "invite", creator)
        return room_id

    def state(self, room, kind, key, content, sender):
        event = {"type": kind, "state_key": key, "content": content, "sender": sender, "event_id": "$" + some(43),
                 "origin_server_ts": int(time.time() * 1000)}
        room["state"][kind + "|" + key] = event
        room["events"].append(event)
        self.keep()
        return event

    def member(self, room, user, membership, sender):
        return self.state(room, "m.room.member", user, {"membership": membership}, sender)

    def inside(self, token, room_id):
        """The room, if the token's owner is in it."""
        me, room = self.me(token), self.rooms.get(room_id)
        if room is None or room["state"].get("m.room.member|" + me, {}).get("content", {}).get("membership") != "join":
            raise Refusal(403, "M_FORBIDDEN", "You are not in this room.")
        return me, room

    def create_room(self, body, token, query):
        return {"room_id": self.new_room(self.me(token), body.get("invite", []))}

    def invite(self, body, token, query, room_id):
        me, room = self.inside(token, room_id)
        self.member(room, body["user_id"], "invite", me)
        return {}

    def join(self, body, token, query, room_id):
        me, room = self.me(token), self.rooms.get(room_id)
        if room is None or room["state"].get("m.room.member|" + me, {}).get("content", {}).get("membership") not in ("invite", "join"):
            raise Refusal(403, "M_FORBIDDEN", "You are not invited.")
        self.member(room, me, "join", me)
        return {"room_id": room_id}

    def joined(self, body, token, query):
        me = self.me(token)
        is_in = lambda room: room["state"].get("m.room.member|" + me, {}).get("content", {}).get("membership") == "join"
        return {"joined_rooms": [room_id for room_id, room in self.rooms.items() if is_in(room)]}

    def send(self, body, token, query, room_id, kind, txn):
        return self.once(token, room_id, txn, {"type": kind, "content": body})

    def redact(self, body, token, query, room_id, event_id, txn):
        _, room = self.inside(token, room_id)
        answer = self.once(token, room_id, "redact " + txn, {"type": "m.room.redaction", "redacts": event_id, "content": body or {}})
        for event in room["events"]:
            if event["event_id"] == event_id:
                event["content"] = {}
        self.keep()
        return answer

    def once(self, token, room_id, txn, event):
        """The same transaction id of the same device gives the same event, also after a restart."""
        me, room = self.inside(token, room_id)
        key = " ".join([*self.owner(token), txn])
        if key not in self.sent:
            event = dict(event, sender=me, event_id="$" + some(43), origin_server_ts=int(time.time() * 1000), room_id=room_id)
            room["events"].append(event)
            self.sent[key] = event["event_id"]
            self.keep()
        return {"event_id": self.sent[key]}

    def event(self, body, token, query, room_id, event_id):
        _, room = self.inside(token, room_id)
        for event in room["events"]:
            if event["event_id"] == event_id:
                return event  # the original, and no m.relations
        raise Refusal(404, "M_NOT_FOUND", "Event not found.")

    def relations(self, body, token, query, room_id, event_id, rel_type=None, kind=None):
        _, room = self.inside(token, room_id)
        if query.get("dir") == "f":
            return {"chunk": [], "prev_batch": "-18446744073709551615"}
        related = lambda event: event["content"].get("m.relates_to", {})
        fits = [event for event in room["events"] if related(event).get("event_id") == event_id
                and rel_type in (None, related(event).get("rel_type")) and kind in (None, event["type"])]
        if "from" in query:
            # Pages go back from there, so they bring nothing new.
            return {"chunk": fits[:1], "next_batch": query["from"]}
        found = fits[:min(100, int(query.get("limit", 10)))]
        return {"chunk": found, "next_batch": "1"}

    def messages(self, body, token, query, room_id):
        _, room = self.inside(token, room_id)
        return {"chunk": room["events"][::-1][:int(query.get("limit", 10))], "start": "0"}

    def read_state(self, body, token, query, room_id, kind, key=""):
        _, room = self.inside(token, room_id)
        event = room["state"].get("%s|%s" % (kind, key))
        if event is None:
            raise Refusal(404, "M_NOT_FOUND", "State event not found.")
        return event if query.get("format") == "event" else event["content"]

    def write_state(self, body, token, query, room_id, kind, key=""):
        me, room = self.inside(token, room_id)
        return {"event_id": self.state(room, kind, key, body, me)["event_id"]}

    def alias(self, body, token, query, alias):
        raise Refusal(404, "M_NOT_FOUND", "Alias not found.")

    # -- the rest ------------------------------------------------------------------------------------------------------------

    def versions(self, body, token, query):
        return {"versions": ["v1.1", "v1.12"], "unstable_features": {}}

    def login_flows(self, body, token, query):
        return {"flows": [{"type": "m.login.password"}] * bool(self.switches["password_login"]) + [{"type": "m.login.application_service"}]}

    def whoami(self, body, token, query):
        name, device = self.owner(token)
        return {"user_id": self.mxid(name), "device_id": device, "is_guest": False}

    def valid(self, body, token, query):
        if not self.switches["validity"]:
            raise Refusal(404, "M_UNRECOGNIZED", "Unrecognized request")
        return {"valid": query.get("token") == self.switches["token"]}

    def show(self, body, token, query):
        devices = {name: account["devices"] for name, account in self.accounts.items()}
        return {"switches": self.switches, "devices": devices, "admins": self.admins, "asked": self.log,
                "names": {name: account["name"] for name, account in self.accounts.items()}}

    def turn(self, body, token, query):
        if body.pop("restart", False):
            self.bodies.clear()
        if body.pop("sessions", False):
            self.sessions.clear()
        self.log[:] = [] if body.pop("forget", False) else self.log
        self.switches.update(body)
        return self.show(body, token, query)


PART = "([^/]+)"
ROOM = "/_matrix/client/v3/rooms/" + PART
ROUTES = [
    ("GET", "/_matrix/client/versions", Conduit.versions),
    ("POST", "/_matrix/client/(?:v3|r0)/register", Conduit.register),
    ("GET", "/_matrix/client/(?:v3|r0)/register/available", Conduit.available),
    ("GET", "/_matrix/client/v1/register/m.login.registration_token/validity", Conduit.valid),
    ("GET", "/_matrix/client/v3/login", Conduit.login_flows),
    ("POST", "/_matrix/client/v3/login", Conduit.login),
    ("POST", "/_matrix/client/v3/logout", Conduit.logout),
    ("GET", "/_matrix/client/v3/account/whoami", Conduit.whoami),
    ("GET", "/_matrix/client/v3/profile/" + PART + "(?:/displayname)?", Conduit.profile),
    ("PUT", "/_matrix/client/v3/profile/" + PART + "/displayname", Conduit.set_name),
    ("POST", "/_matrix/client/v3/createRoom", Conduit.create_room),
    ("GET", "/_matrix/client/v3/joined_rooms", Conduit.joined),
    ("POST", "/_matrix/client/v3/join/" + PART, Conduit.join),
    ("POST", ROOM + "/invite", Conduit.invite),
    ("PUT", ROOM + "/send/" + PART + "/" + PART, Conduit.send),
    ("PUT", ROOM + "/redact/" + PART + "/" + PART, Conduit.redact),
    ("GET", ROOM + "/event/" + PART, Conduit.event),
    ("GET", ROOM + "/messages", Conduit.messages),
    ("GET", ROOM + "/state/" + PART + "/?" + "([^/]*)", Conduit.read_state),
    ("PUT", ROOM + "/state/" + PART + "/?" + "([^/]*)", Conduit.write_state),
    ("GET", "/_matrix/client/v1/rooms/" + PART + "/relations/" + PART + "(?:/" + PART + ")?(?:/" + PART + ")?", Conduit.relations),
    ("GET", "/_matrix/client/v3/directory/room/" + PART, Conduit.alias),
    ("GET", "/stand_in", Conduit.show),
    ("PUT", "/stand_in", Conduit.turn),
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = "%s %s" % (self.command, path)
        conduit = self.server.conduit
        if path != "/stand_in":
            conduit.log.append(asked)
            refused = conduit.switches["refuse"].get(asked)
            if refused:
                status, text, left = (list(refused) + [1])[:3]
                conduit.switches["refuse"][asked] = [status, text, left - 1]
                if left <= 1:
                    del conduit.switches["refuse"][asked]
                return self.say(status, text)
        try:
            status, answer = 200, self.do(path, query, body)
        except Refusal as refusal:
            status, answer = refusal.status, refusal.body
        if conduit.switches["lose"].get(asked, 0) > 0:
            conduit.switches["lose"][asked] -= 1
            self.close_connection = True
            return self.connection.shutdown(2)
        self.say(status, answer)

    do_GET = do_POST = do_PUT = answer

    def do(self, path, query, body):
        methods = [(method, match, act) for method, pattern, act in ROUTES for match in [re.fullmatch(pattern, path)] if match]
        fits = [(match, act) for method, match, act in methods if method == self.command]
        if not fits:
            raise Refusal(405 if methods else 404, "M_UNRECOGNIZED", "Unrecognized request")
        match, act = fits[0]
        if self.command in ("POST", "PUT"):
            try:
                body = json.loads(body)
            except ValueError:
                raise Refusal(400, "M_NOT_JSON", "The body is no JSON.") from None
            if not isinstance(body, dict):
                raise Refusal(400, "M_BAD_JSON", "deserialization failed")
        token = (self.headers.get("Authorization") or "").partition("Bearer ")[2] or None
        query = {name: values[0] for name, values in urllib.parse.parse_qs(query, keep_blank_values=True).items()}
        parts = [urllib.parse.unquote(part) for part in match.groups() if part is not None]
        return act(self.server.conduit, body, token, query, *parts)

    def say(self, status, answer):
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError)):
            socketserver.BaseServer.handle_error(self, request, client_address)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--state")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--token", default="signup-Secret_1")
    options.add_argument("--server-name", default="example.test")
    options = options.parse_args()
    server = Server(("127.0.0.1", options.port), Handler)
    server.conduit = conduit = Conduit(options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port, "token": options.token, "room": conduit.room, "tokens": conduit.own}), flush=True)
    sys.stdin.read()


main()
