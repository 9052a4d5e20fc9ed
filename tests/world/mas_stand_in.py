#!/usr/bin/env python3
"""A stand-in for matrix-authentication-service (MAS), for tests: what a sign-up program sees of it, with a real Synapse behind.

It is NOT the real MAS, which cannot be installed on every machine that runs the tests. It was written from what MAS 1.22 was seen
to do with Synapse 1.163, and does the same to whoever talks to it: the tokens, the part of the admin API that makes accounts, the
logins of older clients, the tokens of the bot. It calls Synapse as MAS does (`/_synapse/mas/...`), and Synapse asks it about each
token, so what Synapse says is real. `make mas-check` makes the same registrations against a real MAS.

Left out: MAS's own pages (but for /recover, which is there or not), OAuth for people, registration tokens, GraphQL, upstream
providers. Approximated: the strength of a password (MAS uses zxcvbn; here words, sequences and repetitions count as one character
each, and 10 are enough), and MAS's limit on logins, which is off unless a test wants it.

  mas_stand_in.py run [--synapse "OPTIONS OF start-synapse"] -- CMD...
                   starts Synapse and the stand-in, runs CMD with TEST_MAS_WORLD=FILE in its environment, ends with its status

FILE is a JSON object, in the form that `make mas-check` reads, with the servers' addresses, a client and its secret, people and a
room.

Two ports: MAS itself (`admin_url`), and what clients see (`homeserver_url`): logins go to MAS, all else to Synapse, as the web
server in front of the two does it.

Each test makes a client of its own (POST /stand-in/clients), and everything below belongs to one client, so tests do not disturb
each other:

  POST /stand-in/settings {"client", ...}   token_life (300 s), admin (true; false: not in policy.data.admin_clients),
       auth_method (client_secret_basic), version (v1.22.0; null: before 1.4), admin_api (true), clock (0, seconds MAS's clock is
       ahead), passwords (true; false: passwords.enabled), site_config ({}, instead of the usual values), minimum_complexity
       (true; false: any password will do)
  POST /stand-in/faults {"client", "at", "fault", "times", "name"}   the next `times` (1; 0: until further notice) calls of `at`
       (token, version, site-config, by-username, create, sessions, emails, bind, password, revoke, personal, end; any) about
       `name` (any) meet with
         refused       the connection ends, nothing was done (MAS is down)
         lost          done, but the answer is lost
         bad-gateway   a proxy's 502, in HTML; nothing was done
         database      MAS's database is gone
         silent        no answer, nothing done; ends when the caller hangs up
       and `bind` also with
         not-valid     MAS does not accept the address
       and `create` also with
         synapse-down  Synapse does not answer the first question
         synapse-silent  the same after a second (MAS waits 60 s)
         synapse-limit Synapse says 429
         wrong-secret  Synapse does not know MAS's secret
         half-made     Synapse made the account, and its answer got lost: 500
         killed        MAS is killed after Synapse made the account: no answer, nothing in MAS
         slow          Synapse takes three seconds; who hangs up meanwhile cancels the work in MAS, not in Synapse
         race          somebody else takes the name meanwhile: 500
         reserved      409 `Username is reserved by the homeserver`, whatever Synapse says
         strange       409 with a title that no MAS has today
  POST /stand-in/somebody {"client", "name", "kind"}   makes an account that is not ours: kind "mas" (an account), "used" (which
       has logged in on MAS's page), "synapse" (in Synapse only), "reserved" (an address is bound; "email")
  POST /stand-in/bind {"name", "email"}     an address for an account
  POST /stand-in/session {"name", "scope"}  a personal session of this account: {"access_token"}
  POST /stand-in/limit {"on"}               MAS's limit on logins, right or wrong, for everybody: three, and then none
  GET  /stand-in/calls?client=ID            what this client asked: [[method, path, status, body], ...], passwords left out
  GET  /stand-in/users?name=X               what MAS has: user, addresses, whether there is a password, sessions
  GET  /stand-in/tokens?client=ID           {"made", "revoked"}: tokens for the admin API
"""
import argparse
import base64
import ctypes
import http.client
import http.server
import json
import os
import re
import secrets
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER_NAME = "mas.example.test"
MATRIX = "urn:matrix:client:api:*"
SYNAPSE_ADMIN = "urn:synapse:admin:*"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DEFAULTS = {"token_life": 300, "admin": True, "auth_method": "client_secret_basic", "version": "v1.22.0", "admin_api": True,
            "clock": 0, "passwords": True, "site_config": {}, "minimum_complexity": True}


def free_port():
    low, _, high = os.environ.get("TEST_PORTS", "20000-31999").partition("-")
    for _ in range(1000):
        port = int(low) + secrets.randbelow(int(high) - int(low) + 1)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    sys.exit("mas_stand_in: no free port")


def ulid(now=None):
    number = (int((now or time.time()) * 1000) << 80) | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text):
    return len(text) == 26 and all(c in CROCKFORD for c in text.upper())


def stamp(now, nanoseconds=False):
    fraction = int(now % 1 * 10**9) if nanoseconds else int(now % 1 * 10**6)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + (".%09dZ" if nanoseconds else ".%06dZ") % fraction


def is_weak(password):
    """Roughly zxcvbn's idea: words, sequences and repetitions are guessed at once."""
    text = re.sub(r"passwor[dt]|qwertz?|letmein|admin|welcome", "w", password.lower())
    text = re.sub(r"(.)\1+", r"\1", text)
    text = re.sub(r"0?123(4(5(6(78?9?)?)?)?)?|abc(d(e)?)?", "s", text)
    return len(text) < 10


class Answer(Exception):
    """What is answered instead of going on."""

    def __init__(self, status, body, kind=None):
        self.status, self.body = status, body
        self.kind = kind or ("application/json" if not isinstance(body, str) else "text/plain; charset=utf-8")


class NoAnswer(Exception):
    """The connection ends without an answer."""


def api_error(status, *titles):
    return Answer(status, {"errors": [{"title": title} for title in titles]})


def html(status, text):
    return Answer(status, "<!DOCTYPE html><html><body><h1>%s</h1></body></html>" % text, "text/html; charset=utf-8")


def matrix_error(status, code, text):
    return Answer(status, {"errcode": code, "error": text})


class User:
    def __init__(self, name, clock):
        now = time.time() + clock
        self.id, self.name, self.created, self.clock = ulid(now), name, now, clock
        self.locked = self.deactivated = None
        self.password = None
        self.counts = {"user-sessions": 0, "compat-sessions": 0, "oauth2-sessions": 0}

    def resource(self, is_new=False):
        path = "/api/admin/v1/users/" + self.id
        attributes = {"username": self.name, "created_at": stamp(self.created, is_new), "locked_at": self.locked,
                      "deactivated_at": self.deactivated, "admin": False, "legacy_guest": False}
        return {"data": {"type": "user", "id": self.id, "attributes": attributes, "links": {"self": path}}, "links": {"self": path}}


class Client:
    def __init__(self):
        self.id, self.secret = ulid(), secrets.token_urlsafe(24)
        self.settings, self.faults, self.calls = dict(DEFAULTS), [], []
        self.made = self.revoked = 0


class Token:
    """What a token is for: an admin API token has a client, the others a user."""

    def __init__(self, scope, client=None, user=None, device=None, life=None, session=None):
        self.scope, self.client, self.user, self.device = scope, client, user, device
        self.ends = None if life is None else time.time() + life
        self.is_revoked, self.session = False, session


class World:
    """Everything that MAS has in its database."""

    def __init__(self, synapse, secret, own_url):
        self.synapse, self.secret, self.own_url = synapse, secret, own_url
        self.base_url = None
        self.lock = threading.RLock()
        self.users, self.pending, self.emails = {}, set(), {}
        self.clients, self.tokens, self.personal = {}, {}, {}
        self.has_limit, self.logins = False, 0

    def ask_synapse(self, method, path, body=None):
        """A call as MAS makes it: status and JSON."""
        connection = http.client.HTTPConnection(self.synapse, timeout=60)
        headers = {"Authorization": "Bearer " + self.secret, "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        try:
            return answer.status, json.loads(raw or b"null")
        except ValueError:
            return answer.status, {}

    def provision(self, name, displayname=None):
        body = {"localpart": name}
        if displayname == "":
            body["unset_displayname"] = True
        elif displayname is not None:
            body["set_displayname"] = displayname
        status, answer = self.ask_synapse("POST", "/_synapse/mas/provision_user", body)
        if status not in (200, 201):
            raise api_error(500, "Failed to provision user in Synapse", "%s: %s" % (answer.get("errcode"), answer.get("error")))

    def user_of(self, name):
        return self.users.get(name.lower())

    def by_id(self, user_id):
        return next((user for user in self.users.values() if user.id == user_id.upper()), None)

    def add(self, user):
        with self.lock:
            self.users[user.name.lower()] = user
        return user

    def new_token(self, prefix, *arguments, **named):
        text = prefix + secrets.token_urlsafe(24)
        self.tokens[text] = Token(*arguments, **named)
        return text

    def tell_synapse_of_addresses(self, user):
        """A job, repeated until Synapse answers."""
        def work():
            for _ in range(20):
                time.sleep(0.5)
                addresses = [email["email"] for email in self.emails.values() if email["user"] is user]
                try:
                    status, _ = self.ask_synapse("POST", "/_synapse/mas/provision_user", {"localpart": user.name, "set_emails": addresses})
                    if status in (200, 201):
                        return
                except OSError:
                    time.sleep(2)
        threading.Thread(target=work, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "stand-in", ""
    clock = 0

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or time.time()) + self.clock)

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def serve(self):
        self.clock = 0
        length = int(self.headers.get("Content-Length") or 0)
        self.raw = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        self.where, self.query = url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            answer = self.respond()
        except Answer as early:
            answer = early
        except NoAnswer:
            answer = None
        if answer is None:
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            return
        self.send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = serve

    def send(self, answer):
        body = answer.body if isinstance(answer.body, bytes) else answer.body.encode() if isinstance(answer.body, str) else \
            b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body if answer.status != 204 else b"")

    def is_still_there(self):
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""

    def wait(self, seconds):
        """Waits, unless the caller hangs up, which cancels the work."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.is_still_there():
                raise NoAnswer()
            time.sleep(0.02)


class Mas(Handler):
    """MAS's own port."""

    world = None

    def respond(self):
        path = self.where
        if path.startswith("/stand-in/"):
            return self.arrange(path.removeprefix("/stand-in/"))
        if path.startswith("/_matrix/client/"):
            return Login.respond(self)
        if path == "/oauth2/introspect":
            return self.introspect()
        if path in ("/oauth2/token", "/oauth2/revoke"):
            return self.with_client(self.token if path.endswith("token") else self.revoke)
        if path.startswith("/api/admin/v1/"):
            return self.admin()
        if path == "/.well-known/openid-configuration":
            own = self.world.own_url
            return Answer(200, {"issuer": own, "account_management_uri": own + "account/", "token_endpoint": own + "oauth2/token",
                                "authorization_endpoint": own + "authorize", "revocation_endpoint": own + "oauth2/revoke",
                                "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "client_credentials"]})
        if path == "/health":
            return Answer(200, "ok")
        if path == "/recover":
            return html(200, "Account recovery")
        return html(404, "Not found")

    # -- faults ---------------------------------------------------------------------------------------------------------------

    def fault(self, client, at, name=None):
        """The fault that this call meets, if a test wants one."""
        with self.world.lock:
            for fault in client.faults:
                if fault["at"] in (at, "any") and (fault.get("name") is None or name is None or fault["name"] == name):
                    if fault.get("times", 1) == 1:
                        client.faults.remove(fault)
                    elif fault.get("times", 1) > 1:
                        fault["times"] -= 1
                    return fault["fault"]
        return None

    def early(self, fault):
        """Faults of the whole of MAS."""
        if fault == "refused":
            raise NoAnswer()
        if fault == "bad-gateway":
            raise html(502, "502 Bad Gateway")
        if fault == "silent":
            self.wait(200)
            raise NoAnswer()
        if fault == "database":
            if self.where.startswith("/oauth2"):
                raise Answer(500, "pool timed out while waiting for an open connection\ndetails: \n")
            raise api_error(500, "Couldn't load the database repository", "pool timed out while waiting for an open connection")

    def recorded(self, client, at, work, name=None):
        """Runs a call under the fault that it meets, and writes it down."""
        fault = self.fault(client, at, name)
        self.clock = client.settings["clock"]
        body = re.sub(rb'("password": ?)"[^"]*"', rb'\1"..."', self.raw).decode("utf-8", "replace") if at != "token" else ""
        if at in ("revoke",):
            body = ""
        entry = [self.command, self.path, 0, body]
        client.calls.append(entry)
        try:
            self.early(fault)
            answer = work(fault) if at in ("create", "bind") else work()
        except Answer as early:
            answer = early
        if fault == "lost":
            raise NoAnswer()
        entry[2] = answer.status
        return answer

    # -- tokens ---------------------------------------------------------------------------------------------------------------

    def with_client(self, work):
        if not (self.headers.get("Content-Type") or "").startswith("application/x-www-form-urlencoded"):
            raise Answer(400, {"error": "invalid_request", "error_description": "Expected a form"})
        form = dict(urllib.parse.parse_qsl(self.raw.decode("utf-8", "replace"), keep_blank_values=True))
        header = self.headers.get("Authorization") or ""
        name, secret, method = form.get("client_id"), form.get("client_secret"), "client_secret_post"
        if header.startswith("Basic "):
            try:
                name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
            except ValueError:
                name = None
            name, secret, method = urllib.parse.unquote(name or ""), urllib.parse.unquote(secret or ""), "client_secret_basic"
        if not name:
            raise Answer(400, {"error": "invalid_request", "error_description": "No credentials were presented"})
        client = self.world.clients.get(name)
        if not client or client.secret != secret or client.settings["auth_method"] != method:
            raise Answer(401, {"error": "invalid_client", "error_description": "Client authentication failed."})
        return work(client, form)

    def token(self, client, form):
        def work():
            if form.get("grant_type") != "client_credentials":
                raise Answer(400, {"error": "unsupported_grant_type"})
            scope = form.get("scope", "")
            for one in scope.split():
                if one not in ("urn:mas:admin", "openid", "email") or (one == "urn:mas:admin" and not client.settings["admin"]):
                    raise Answer(403, {"error": "invalid_scope", "error_description": "scope '%s' not allowed" % one})
            life = client.settings["token_life"]
            client.made += 1
            answer = {"access_token": self.world.new_token("mat_", scope, client=client, life=life), "token_type": "Bearer",
                      "expires_in": life}
            return Answer(200, {**answer, "scope": scope} if scope else answer)
        return self.recorded(client, "token", work)

    def revoke(self, client, form):
        def work():
            token = self.world.tokens.get(form.get("token", ""))
            if token and not token.is_revoked and token.client is client:
                token.is_revoked = True
                client.revoked += 1
            return Answer(200, b"")
        return self.recorded(client, "revoke", work)

    def introspect(self):
        """Asked by Synapse."""
        if self.headers.get("Authorization") != "Bearer " + self.world.secret:
            raise Answer(401, {"error": "invalid_client"})
        form = dict(urllib.parse.parse_qsl(self.raw.decode()))
        token = self.world.tokens.get(form.get("token", ""))
        over = not token or token.is_revoked or (token.ends and token.ends < time.time())
        if over or (token.user and (token.user.locked or token.user.deactivated)):
            return Answer(200, {"active": False})
        answer = {"active": True, "scope": token.scope, "token_type": "access_token"}
        if token.user:
            answer.update(username=token.user.name, sub=token.user.id)
        if token.device:
            answer["device_id"] = token.device
        if token.ends:
            answer["expires_in"] = max(1, int(token.ends - time.time()))
        return Answer(200, answer)

    # -- the admin API --------------------------------------------------------------------------------------------------------

    def admin(self):
        header = self.headers.get("Authorization")
        token = self.world.tokens.get((header or "").removeprefix("Bearer "))
        client = token.client if token else None
        if client and not client.settings["admin_api"]:
            raise html(404, "Not found")
        if header is None:
            raise api_error(400, "Missing authorization header")
        if not header.startswith("Bearer "):
            raise api_error(400, "Invalid authorization header")
        if not re.match(r"m[a-z]t_", header[7:]):
            raise api_error(401, "Invalid type of access token", "invalid token format")
        if not token:
            raise api_error(401, "Unknown access token")
        if token.is_revoked:
            raise api_error(401, "Access token revoked")
        if token.ends and token.ends < time.time():
            raise api_error(401, "Access token expired")
        if "urn:mas:admin" not in token.scope.split():
            raise api_error(401, "Missing urn:mas:admin scope")
        return self.route(client, self.where.removeprefix("/api/admin/v1/").split("/"))

    def route(self, client, parts):
        part = [urllib.parse.unquote(p) for p in parts]
        call = (self.command, part[0], len(part))
        if call == ("GET", "version", 1):
            return self.recorded(client, "version", lambda: self.version(client))
        if call == ("GET", "site-config", 1):
            return self.recorded(client, "site-config", lambda: self.site_config(client))
        if call == ("POST", "users", 1):
            name = self.peek("username")
            return self.recorded(client, "create", lambda fault: self.create(client, fault), name)
        if self.command == "GET" and part[:2] == ["users", "by-username"] and len(part) == 3:
            return self.recorded(client, "by-username", lambda: self.by_username(part[2]), part[2])
        if call == ("GET", "users", 2):
            return self.recorded(client, "user", lambda: Answer(200, self.need(part[1]).resource()))
        if call == ("POST", "users", 3):
            at = {"set-password": "password"}.get(part[2], "user")
            user = self.world.by_id(part[1])
            return self.recorded(client, at, lambda: self.change(client, part[1], part[2]), user and user.name)
        if self.command == "GET" and part[0] in ("user-sessions", "compat-sessions", "oauth2-sessions") and len(part) == 1:
            return self.recorded(client, "sessions", lambda: self.sessions(part[0]))
        if call == ("GET", "user-emails", 1):
            return self.recorded(client, "emails", self.list_emails)
        if call == ("POST", "user-emails", 1):
            return self.recorded(client, "bind", self.bind)
        if call == ("DELETE", "user-emails", 2):
            return self.recorded(client, "unbind", lambda: self.unbind(part[1]))
        if call == ("POST", "personal-sessions", 1):
            return self.recorded(client, "personal", self.personal_session)
        if call == ("POST", "personal-sessions", 3):
            return self.recorded(client, "end", lambda: self.end_personal(part[1], part[2]))
        if part[0] in ("users", "user-emails", "personal-sessions", "version", "site-config"):
            raise Answer(405, b"")
        raise html(404, "Not found")

    def version(self, client):
        if client.settings["version"] is None:
            raise html(404, "Not found")
        return Answer(200, {"version": client.settings["version"]})

    def site_config(self, client):
        passwords = client.settings["passwords"]
        usual = {"server_name": SERVER_NAME, "password_login_enabled": passwords, "password_registration_enabled": False,
                 "password_registration_email_required": True, "password_registration_token_required": False,
                 "registration_token_required": False, "email_change_allowed": True, "displayname_change_allowed": True,
                 "password_change_allowed": passwords, "account_recovery_allowed": passwords, "account_deactivation_allowed": True,
                 "captcha_enabled": False, "minimum_password_complexity": 3}
        return Answer(200, {**usual, **client.settings["site_config"]})

    def peek(self, key):
        try:
            return json.loads(self.raw).get(key)
        except (ValueError, AttributeError):
            return None

    def json(self, **fields):
        """The body, read as strictly as MAS does: names, types and whether a field must be there."""
        if not (self.headers.get("Content-Type") or "").split(";")[0] == "application/json":
            raise Answer(415, "Expected request with `Content-Type: application/json`")
        if len(self.raw) > 2_000_000:
            raise Answer(413, "Failed to buffer the request body: length limit exceeded")
        seen = []

        def pairs(items):
            seen.append([key for key, _ in items])
            return dict(items)
        try:
            body = json.loads(self.raw.decode("utf-8"), object_pairs_hook=pairs)
        except ValueError as cause:
            raise Answer(400, "Failed to parse the request body as JSON: %s" % cause)
        wrong = "Failed to deserialize the JSON body into the target type: "
        if not isinstance(body, dict) or len(seen[-1]) != len(set(seen[-1])):
            raise Answer(422, wrong + "duplicate field, or no object")
        for name, (kind, is_needed) in fields.items():
            if body.get(name) is None and is_needed:
                raise Answer(422, wrong + "missing field `%s`" % name)
            if body.get(name) is not None and not isinstance(body[name], kind):
                raise Answer(422, wrong + "%s: invalid type" % name)
        return body

    def create(self, client, fault):
        body = self.json(username=(str, True), displayname=(str, False), skip_homeserver_check=(bool, False))
        name, world = body["username"], self.world
        if "\0" in name:
            raise api_error(500, "error returned from database: invalid byte sequence for encoding \"UTF8\": 0x00")
        if fault == "strange":
            raise api_error(409, "Username collides with a constellation")
        if world.user_of(name):
            raise api_error(409, "User already exists")
        if not re.fullmatch(r"[a-z0-9.=/+-][a-z0-9._=/+-]*", name) or len(name) > 255:
            raise api_error(400, "Username is not valid")
        if not self.is_free_in_synapse(name, fault) and not body.get("skip_homeserver_check"):
            raise api_error(409, "Username is reserved by the homeserver")
        self.insert(name)
        try:
            self.provision(client, name, body, fault)
            user = User(name, client.settings["clock"])
            world.add(user)
        finally:
            with world.lock:
                world.pending.discard(name)
        return Answer(201, user.resource(is_new=True))

    def is_free_in_synapse(self, name, fault):
        failed = "Failed to check localpart availability from Synapse"
        if fault == "synapse-silent":
            self.wait(1)
            raise api_error(500, failed, "error sending request", "operation timed out")
        if fault == "synapse-down":
            raise api_error(500, failed, "error sending request for url (http://10.0.0.7:8008/)", "client error (Connect)", "Connection refused")
        if fault == "synapse-limit":
            raise api_error(500, "Failed to query localpart availability from Synapse", "M_LIMIT_EXCEEDED: Too Many Requests")
        if fault == "wrong-secret":
            raise api_error(500, "Failed to query localpart availability from Synapse",
                            "M_UNKNOWN: This endpoint must only be called by MAS")
        if fault == "reserved":
            return False
        try:
            status, answer = self.world.ask_synapse("GET", "/_synapse/mas/is_localpart_available?localpart=" + urllib.parse.quote(name, safe=""))
        except OSError as cause:
            raise api_error(500, failed, "error sending request", str(cause))
        if status == 400 and answer.get("errcode") in ("M_USER_IN_USE", "M_INVALID_USERNAME", "M_EXCLUSIVE"):
            return False
        if status != 200:
            raise api_error(500, "Failed to query localpart availability from Synapse", "%s: %s" % (answer.get("errcode"), answer.get("error")))
        return True

    def insert(self, name):
        """MAS's database lets the second of two wait, and then go wrong."""
        while True:
            with self.world.lock:
                if self.world.user_of(name):
                    raise api_error(500, "Expected 1 rows to be affected, but 0 rows were affected")
                if name not in self.world.pending:
                    self.world.pending.add(name)
                    return
            self.wait(0.02)

    def provision(self, client, name, body, fault):
        version = client.settings["version"] or "v1.0.0"
        knows_names = [int(n) for n in version[1:].split(".")[:2]] >= [1, 18]
        try:
            self.world.provision(name, body.get("displayname") if knows_names else None)
        except OSError as cause:
            raise api_error(500, "Failed to provision user in Synapse", "error sending request", str(cause))
        if fault == "half-made":
            raise api_error(500, "Failed to provision user in Synapse", "error sending request", "connection closed before message completed")
        if fault == "killed":
            raise NoAnswer()
        if fault == "slow":
            self.wait(3)
        if fault == "race":
            self.world.add(User(name, client.settings["clock"]))
            raise api_error(500, "Expected 1 rows to be affected, but 0 rows were affected")
        if not self.is_still_there():
            raise NoAnswer()

    def need(self, user_id):
        if not is_ulid(user_id):
            raise api_error(400, "Invalid ULID in path")
        user = self.world.by_id(user_id)
        if not user:
            raise api_error(404, "User ID %s not found" % user_id)
        return user

    def by_username(self, name):
        user = self.world.user_of(name)
        if not user:
            raise api_error(404, 'User with username "%s" not found' % name)
        return Answer(200, user.resource())

    def change(self, client, user_id, what):
        if what == "set-password":
            body = self.json(password=(str, True), skip_password_check=(bool, False))
            if not client.settings["passwords"]:
                raise api_error(403, "Password auth is disabled")
            user = self.need(user_id)
            if client.settings["minimum_complexity"] and not body.get("skip_password_check") and is_weak(body["password"]):
                raise api_error(400, "Password is too weak")
            user.password = body["password"]
            return Answer(204, b"")
        user, now = self.need(user_id), stamp(time.time() + client.settings["clock"])
        if what == "lock":
            user.locked = user.locked or now
        elif what == "unlock":
            user.locked = None
        elif what == "deactivate":
            user.deactivated = user.deactivated or now
            with self.world.lock:
                for key in [key for key, email in self.world.emails.items() if email["user"] is user]:
                    del self.world.emails[key]
            self.world.ask_synapse("POST", "/_synapse/mas/delete_user", {"localpart": user.name, "erase": True})
        elif what == "reactivate":
            user.deactivated = None
            self.world.ask_synapse("POST", "/_synapse/mas/reactivate_user", {"localpart": user.name})
        else:
            raise html(404, "Not found")
        return Answer(200, user.resource())

    def sessions(self, kind):
        user = self.need_filter("filter[user]")
        count = user.counts[kind]
        if self.query.get("count") == "only":
            return Answer(200, {"meta": {"count": count}, "links": {"self": self.path}})
        return Answer(200, {"meta": {"count": count}, "data": [{"type": kind[:-1], "id": ulid()} for _ in range(count)]})

    def need_filter(self, name):
        user_id = self.query.get(name, "")
        if not is_ulid(user_id):
            raise api_error(400, "Invalid filter")
        user = self.world.by_id(user_id)
        if not user:
            raise api_error(404, "User ID %s not found" % user_id)
        return user

    def list_emails(self):
        emails = list(self.world.emails.values())
        if "filter[email]" in self.query:
            emails = [email for email in emails if email["email"].lower() == self.query["filter[email]"].lower()]
        if "filter[user]" in self.query:
            user = self.need_filter("filter[user]")
            emails = [email for email in emails if email["user"] is user]
        return Answer(200, {"meta": {"count": len(emails)}, "data": [self.email(email) for email in emails], "links": {"self": self.path}})

    @staticmethod
    def email(email):
        attributes = {"created_at": stamp(email["at"]), "user_id": email["user"].id, "email": email["email"]}
        return {"type": "user-email", "id": email["id"], "attributes": attributes}

    def bind(self, fault):
        body = self.json(user_id=(str, True), email=(str, True))
        if not is_ulid(body["user_id"]):
            raise Answer(422, "Failed to deserialize the JSON body into the target type: user_id: invalid length")
        user = self.world.by_id(body["user_id"])
        if not user:
            raise api_error(404, "User ID %s not found" % body["user_id"])
        if fault == "not-valid" or not re.fullmatch(r'(".*"|[^\s@]+)@[^\s@]+', body["email"]):
            raise api_error(400, 'Email "%s" is not valid' % body["email"], "Missing domain or user")
        with self.world.lock:
            if any(email["email"].lower() == body["email"].lower() for email in self.world.emails.values()):
                raise api_error(409, 'User email "%s" already in use' % body["email"])
            email = {"id": ulid(), "user": user, "email": body["email"], "at": time.time() + user.clock}
            self.world.emails[email["id"]] = email
        self.world.tell_synapse_of_addresses(user)
        return Answer(201, {"data": self.email(email), "links": {}})

    def unbind(self, email_id):
        email = self.world.emails.pop(email_id, None)
        if not email:
            raise api_error(404, "User email ID %s not found" % email_id)
        self.world.tell_synapse_of_addresses(email["user"])
        return Answer(204, b"")

    def personal_session(self):
        body = self.json(actor_user_id=(str, True), human_name=(str, True), scope=(str, True), expires_in=(int, False))
        user = self.world.by_id(body["actor_user_id"])
        if not user:
            raise api_error(404, "User not found")
        if user.deactivated:
            raise api_error(410, "User is not active")
        if not body["scope"] or re.search(r"[^\x21-\x7e ]", body["scope"]):
            raise api_error(400, "Invalid scope")
        device = re.search(r"urn:matrix:client:device:(\S+)", body["scope"])
        session = {"id": ulid(), "user": user, "scope": body["scope"], "revoked": None, "device": device and device[1]}
        self.world.personal[session["id"]] = session
        if device:
            self.world.ask_synapse("POST", "/_synapse/mas/upsert_device", {"localpart": user.name, "device_id": device[1]})
        token = self.world.new_token("mpt_", body["scope"], user=user, life=body.get("expires_in"), session=session["id"])
        return Answer(201, self.personal_resource(session, token))

    @staticmethod
    def personal_resource(session, token=None):
        attributes = {"actor_user_id": session["user"].id, "scope": session["scope"], "revoked_at": session["revoked"], "expires_at": None}
        if token:
            attributes["access_token"] = token
        return {"data": {"type": "personal-session", "id": session["id"], "attributes": attributes}}

    def end_personal(self, session_id, what):
        session = self.world.personal.get(session_id)
        if not session:
            raise api_error(404, "Personal session not found")
        if what not in ("revoke", "regenerate"):
            raise html(404, "Not found")
        if session["revoked"]:
            raise api_error(409, "Personal session with ID %s is already revoked" % session_id)
        for token in self.world.tokens.values():
            if token.session == session_id:
                token.is_revoked = True
        if what == "revoke":
            session["revoked"] = stamp(time.time())
            return Answer(200, self.personal_resource(session))
        token = self.world.new_token("mpt_", session["scope"], user=session["user"], session=session_id)
        return Answer(201, self.personal_resource(session, token))

    # -- what a test arranges -------------------------------------------------------------------------------------------------

    def arrange(self, what):
        body = json.loads(self.raw or b"{}")
        if what == "clients":
            client = Client()
            self.world.clients[client.id] = client
            return Answer(200, {"client_id": client.id, "client_secret": client.secret})
        if what == "limit":
            self.world.has_limit, self.world.logins = body["on"], 0
            return Answer(200, {})
        if what == "users":
            return Answer(200, self.described(self.query["name"]))
        if what == "bind":
            email = {"id": ulid(), "user": self.world.user_of(body["name"]), "email": body["email"], "at": time.time()}
            self.world.emails[email["id"]] = email
            return Answer(200, {})
        if what == "session":
            self.raw = json.dumps({"actor_user_id": self.world.user_of(body["name"]).id, "human_name": "test", "scope": body["scope"]}).encode()
            made = self.personal_session().body
            return Answer(200, {"access_token": made["data"]["attributes"]["access_token"]})
        client = self.world.clients[body.get("client") or self.query["client"]]
        if what == "settings":
            client.settings.update({key: value for key, value in body.items() if key in DEFAULTS})
        elif what == "faults":
            client.faults.append({key: value for key, value in body.items() if key != "client"})
        elif what == "calm":
            client.faults.clear()
        elif what == "somebody":
            return Answer(200, self.somebody(client, body))
        elif what == "calls":
            return Answer(200, client.calls)
        elif what == "tokens":
            return Answer(200, {"made": client.made, "revoked": client.revoked})
        return Answer(200, {})

    def described(self, name):
        user = self.world.user_of(name)
        if not user:
            return None
        emails = [email["email"] for email in self.world.emails.values() if email["user"] is user]
        return {**user.resource()["data"], "emails": emails, "has_password": user.password is not None, "sessions": user.counts}

    def somebody(self, client, body):
        name = body["name"]
        self.world.provision(name.lower(), body.get("displayname", name))
        if body["kind"] == "synapse":
            return {}
        user = self.world.add(User(name, client.settings["clock"]))
        user.password = body.get("password")
        if body["kind"] == "used":
            user.counts["user-sessions"] = 1
        if body["kind"] == "reserved":
            email = {"id": ulid(), "user": user, "email": body["email"], "at": time.time()}
            self.world.emails[email["id"]] = email
        return {"id": user.id}


class Login(Handler):
    """What clients see: logins are MAS's, the rest is Synapse's."""

    world = None
    OF_MAS = re.compile(r"/_matrix/client/[^/]+/(login|logout|logout/all|refresh)")

    def respond(self):
        if not Login.OF_MAS.fullmatch(self.where):
            return Login.pass_on(self)
        what = self.where.split("/")[4]
        if what == "login" and self.command == "GET":
            flows = [{"type": "m.login.password"}, {"type": "m.login.sso", "oauth_aware_preferred": True}, {"type": "m.login.token"}]
            return Answer(200, {"flows": flows})
        if what == "login":
            return Login.log_in(self, json.loads(self.raw or b"{}"))
        token = self.world.tokens.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if not token or token.is_revoked:
            raise matrix_error(401, "M_UNKNOWN_TOKEN", "Invalid token")
        token.is_revoked = True
        if token.device:
            self.world.ask_synapse("POST", "/_synapse/mas/delete_device", {"localpart": token.user.name, "device_id": token.device})
        return Answer(200, {})

    def log_in(self, body):
        world, identifier = self.world, body.get("identifier") or {"type": "m.id.user", "user": body.get("user", "")}
        if body.get("type") != "m.login.password":
            raise matrix_error(400, "M_UNKNOWN", "Invalid login type")
        if identifier.get("type") != "m.id.user":
            raise matrix_error(400, "M_UNKNOWN", "Unsupported login identifier")
        world.logins += 1
        if world.has_limit and world.logins > 3:
            raise matrix_error(429, "M_LIMIT_EXCEEDED", "Too many login attempts")
        name = identifier.get("user", "")
        local, _, server = name.removeprefix("@").partition(":")
        user = world.user_of(local) if not name.startswith("@") or server == SERVER_NAME else None
        if user and user.locked:
            raise matrix_error(401, "M_USER_LOCKED", "User account has been locked")
        if not user or user.deactivated or user.password is None or user.password != body.get("password"):
            raise matrix_error(403, "M_FORBIDDEN", "Invalid username/password")
        device = body.get("device_id") or secrets.token_hex(5)
        shown = {"localpart": user.name, "device_id": device, "display_name": body.get("initial_device_display_name")}
        try:
            status, _ = world.ask_synapse("POST", "/_synapse/mas/upsert_device", shown)
        except OSError:
            status = 500
        if status not in (200, 201):
            raise matrix_error(500, "M_UNKNOWN", "Failed to provision device")
        user.counts["compat-sessions"] += 1
        token = world.new_token("mct_", "%s urn:matrix:client:device:%s" % (MATRIX, device), user=user, device=device)
        return Answer(200, {"access_token": token, "device_id": device, "user_id": "@%s:%s" % (user.name, SERVER_NAME)})

    def pass_on(self):
        connection = http.client.HTTPConnection(self.world.synapse, timeout=100)
        keep = {name: value for name, value in self.headers.items() if name.lower() in ("authorization", "content-type", "accept")}
        try:
            connection.request(self.command, self.path, self.raw or None, keep)
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            raise html(502, "502 Bad Gateway")
        finally:
            connection.close()
        kind = answer.getheader("Content-Type") or "application/json"
        return Answer(answer.status, body, kind)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def start(handler, port):
    server = Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return "http://127.0.0.1:%d/" % server.server_address[1]


def people(world):
    """An administrator of Synapse, the bot, alice (who approves) and bob, each with a token, and a room with bot and alice."""
    found = {}
    for name, shown in (("admin", "Admin"), ("register_bot", "Register Bot"), ("alice", "Alice Approver"), ("bob", "Bob")):
        world.provision(name, shown)
        user = world.add(User(name, 0))
        user.password, device = "pw-" + name, "DEVICE" + name.upper()
        world.ask_synapse("POST", "/_synapse/mas/upsert_device", {"localpart": name, "device_id": device})
        scope = " ".join([MATRIX, "urn:matrix:client:device:" + device] + ([SYNAPSE_ADMIN] if name == "admin" else []))
        token = world.new_token("mpt_", scope, user=user, session=ulid())
        found[name] = {"user_id": "@%s:%s" % (name, SERVER_NAME), "localpart": name, "password": user.password, "access_token": token}
    return found


def call(base, method, path, token, body):
    connection = http.client.HTTPConnection(base.split("/")[2], timeout=60)
    connection.request(method, path, json.dumps(body), {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    answer = connection.getresponse()
    raw = answer.read()
    if answer.status != 200:
        sys.exit("mas_stand_in: %s %s: %s %s" % (method, path, answer.status, raw.decode("utf-8", "replace")))
    return json.loads(raw)


def room(base, users):
    bot, alice = users["register_bot"], users["alice"]
    made = call(base, "POST", "/_matrix/client/v3/createRoom", bot["access_token"],
                {"preset": "private_chat", "name": "Registrations", "invite": [alice["user_id"]]})["room_id"]
    call(base, "POST", "/_matrix/client/v3/join/" + urllib.parse.quote(made, safe=""), alice["access_token"], {})
    return made


def inside(command):
    """Inside start-synapse: Synapse runs, and asks the port of STAND_IN_PORT about tokens."""
    port, secret = int(os.environ["STAND_IN_PORT"]), os.environ["STAND_IN_SECRET"]
    world = World(os.environ["MX_BASE_URL"].split("/")[2], secret, "http://127.0.0.1:%d/" % port)
    Mas.world = Login.world = world
    start(Mas, port)
    base = start(Login, free_port())
    users, client = people(world), Client()
    world.clients[client.id] = client
    found = {"admin_url": world.own_url, "public_url": world.own_url, "client_id": client.id, "client_secret": client.secret,
             "homeserver_url": base, "server_name": SERVER_NAME, "room": room(base, users),
             "bot_token": users["register_bot"]["access_token"], "moderator_token": users["alice"]["access_token"],
             "stand_in": world.own_url + "stand-in/", "users": users, "synapse_url": os.environ["MX_BASE_URL"],
             "synapse_folder": os.environ["MX_DIR"]}
    path = os.path.join(os.environ["MX_DIR"], "mas.json")
    with open(path, "w") as file:
        json.dump(found, file, indent=1)
    # Other tests know their Synapse by the same variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MX_", "STAND_IN_"))}
    environment.update(json.loads(os.environ["STAND_IN_OUTSIDE"]), TEST_MAS_WORLD=path)
    sys.exit(subprocess.run(command, env=environment).returncode)


def run(options, command):
    port, secret = free_port(), secrets.token_hex(16)
    delegated = {"enabled": True, "endpoint": "http://127.0.0.1:%d/" % port, "secret": secret}
    line = [sys.executable, os.path.join(HERE, "start-synapse"), "run", "--bare", "--set", "server_name=" + json.dumps(SERVER_NAME),
            "--set", "matrix_authentication_service=" + json.dumps(delegated), *shlex.split(options.synapse),
            "--", sys.executable, os.path.abspath(__file__), "inside", "--", *command]
    outside = {name: value for name, value in os.environ.items() if name.startswith("MX_")}
    os.environ.update(STAND_IN_PORT=str(port), STAND_IN_SECRET=secret, STAND_IN_OUTSIDE=json.dumps(outside))
    os.execv(sys.executable, line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "inside"):
        one = verbs.add_parser(verb)
        one.add_argument("--synapse", default="", help="further options of start-synapse")
        one.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command must follow --")
    if options.verb == "run":
        run(options, command)
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    inside(command)


if __name__ == "__main__":
    main()
