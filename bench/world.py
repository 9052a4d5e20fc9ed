"""The programs, the floors, and the servers around them, in a separate folder."""

import contextlib
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
KEPT = ROOT / "target/bench"
INSTALLATION = pathlib.Path(os.environ.get("BENCH_PROGRAMS", ROOT))
PASSWORD = "a password for figures"
ROOM_TOKEN = "the token of the bot"
PAGES = ["register", "verify", "verify_admin"]
# To each FastCGI program, as many as wrk has.
KEPT_CONNECTIONS = 4
# Each program and its folder, from the list in src/bin/main.rs.
FOLDERS = {name: folder for folder, name in re.findall(r'^    \("([a-z]+)/([a-z_-]+)", ', (ROOT / "src/bin/main.rs").read_text(), re.M)}

SETTINGS = """
server_name = "example.org"
homeserver_url = "http://127.0.0.1:{homeserver}"
public_url = "https://register.example.org/"
operation_mode = "local"
database = "{url}"
[limits]
# The limits are checked, but stop nobody.
requests_per_network_per_day = 86400
requests_per_address_per_day = 86400
requests_per_day = 100000
open_requests = 100000
mails_per_address_per_day = 86400
confirm_mails_per_day = 86400
form_minimum_seconds = 0
[room]
id = "!room:example.org"
access_token = "{token}"
[mail]
from = "register@example.org"
transport = "file"
folder = "mails"
"""


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


def need_room(folder, size, what):
    """Stops before the disk of the folder is full."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SystemExit(f"{what}: about {size / 1e9:.1f} GB are needed in {folder}, and {free / 1e9:.1f} GB are free")


def program(name):
    """The path of a program that `make` has placed."""
    return INSTALLATION / FOLDERS[name] / name


def build():
    """Builds the floors in C and the generator. The programs must be built already, by `make`."""
    missing = [name for name in FOLDERS if not program(name).exists()]
    if missing:
        raise SystemExit(f"{INSTALLATION} has no {', '.join(missing)}; run make")
    KEPT.mkdir(parents=True, exist_ok=True)
    for name, libraries in [("cgi", []), ("start", []), ("responder", ["-lfcgi"])]:
        run("cc", "-O2", "-o", KEPT / name, BENCH / f"floor/{name}.c", *libraries)
    run("cc", "-O2", "-shared", "-fPIC", "-o", KEPT / "reap.so", BENCH / "floor/reap.c")
    run("cargo", "build", "--quiet", "--example", "generate_users", "--example", "empty_responder", cwd=ROOT)


def example(name):
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples" / name


def generator():
    return example("generate_users")


def empty_responder():
    return example("empty_responder")


class Homeserver:
    """Stands in for Synapse: accepts every room event and keeps the last one with a link to decide, but no edit; has no accounts."""

    def __init__(self):
        home = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Header and body are sent apart; the second would wait for 40 ms.
            disable_nagle_algorithm = True

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if "/send/" in self.path and b"/verify_admin?" in body and b"m.new_content" not in body:
                    home.message = json.loads(body)["body"]
                answer = json.dumps({"event_id": "$x", "room_id": "!room:example.org", "user_id": "@bot:example.org", "chunk": [], "available": True}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.message, self.port = None, server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Site:
    """One config.toml with its database."""

    def __init__(self, folder, url):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.toml"
        self.homeserver = Homeserver()
        self.config.write_text(SETTINGS.format(url=url, homeserver=self.homeserver.port, token=ROOM_TOKEN))
        # The first run creates the tables and the state file. 75: a request of an earlier benchmark waits in a database that was kept.
        ran = subprocess.run([program("cron")], env={"MATRIX_REGISTER_BOT_CONFIG": str(self.config)}, stderr=subprocess.PIPE, text=True)
        if ran.returncode not in (0, 75):
            raise SystemExit(f"cron: {ran.stderr}")


def kept_users(users):
    """The SQLite database with so many users."""
    return KEPT / f"users/{users}.sqlite"


def sqlite_site(folder, users):
    """An SQLite database, whose file is kept for the next run."""
    kept = kept_users(users)
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        new = kept.with_suffix(".new")
        new.unlink(missing_ok=True)
        run(generator(), "sqlite", new, users)
        new.rename(kept)
    return Site(folder, f"sqlite:{kept}")


def server(folder, engine, name):
    """A new database on the servers that `tests/world/start-databases run` started: how its client is called, and its URL."""
    port, socket_path, user, password = (os.environ[f"MATRIX_TEST_{engine.upper()}_{part}"] for part in ["PORT", "SOCKET", "USER", "PASSWORD"])
    quoted = [urllib.parse.quote(text, safe="") for text in (user, password)]
    scheme = "postgres" if engine == "postgres" else "mysql"
    if engine == "postgres":
        client = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--host", socket_path, "--port", port, "--username", user]
        client, sql, database, environment = client, "--command", ["--dbname"], {"PGPASSWORD": password, "PGCLIENTENCODING": "UTF8", "PGOPTIONS": "--client-min-messages=warning"}
        first = "postgres"
    else:
        client = ["mariadb", "--no-defaults", "--socket", socket_path, "--user", user, "--default-character-set=utf8mb4", "--local-infile=1"]
        sql, database, environment, first = "--execute", [], {"MYSQL_PWD": password}, "mysql"
    environment = os.environ | environment
    run(*client, *database, first, sql, f"DROP DATABASE IF EXISTS {name}", env=environment)
    run(*client, *database, first, sql, f"CREATE DATABASE {name}", env=environment)
    url = f"{scheme}://{quoted[0]}:{quoted[1]}@127.0.0.1:{port}/{name}?socket={urllib.parse.quote(socket_path, safe='/')}"
    return client, sql, database, environment, url


def load(client, sql, database, environment, engine, name, table, names, file):
    """Fills a table from a file of tab-separated values, and removes the file."""
    if engine == "postgres":
        statement = f"\\copy {table} ({names}) FROM '{file}'"
    else:
        statement = f"SET unique_checks = 0, foreign_key_checks = 0; LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} CHARACTER SET utf8mb4 ({names})"
    run(*client, *database, name, sql, statement, env=environment)
    file.unlink()


def analyze(client, sql, database, environment, engine, name, tables):
    """Lets the server count what is in the tables, as it does by itself after a while."""
    tables = ", ".join(tables)
    run(*client, *database, name, sql, f"ANALYZE {tables}" if engine == "postgres" else f"ANALYZE TABLE {tables}", env=environment, stdout=subprocess.DEVNULL)


def server_site(folder, engine, users):
    """The same for users."""
    name = f"bench_{users}"
    client, sql, database, environment, url = server(folder, engine, name)
    site = Site(folder, url)
    run(generator(), "tables", folder, users)
    columns = "id, active, localpart, first_name, last_name, password_hash, email, email_folded, created_at, changed_at"
    for table, names in [("logins", columns), ("directory_terms", "kind, term, login_id")]:
        load(client, sql, database, environment, engine, name, table, names, folder / f"{table}.tsv")
    analyze(client, sql, database, environment, engine, name, ["logins", "directory_terms"])
    return site


def variables(name):
    """What nginx sends to a program, as in the documentation."""
    heading = "The pages" if name in PAGES else "What Synapse and identity servers ask"
    page = (ROOT / "docs/hosts/nginx-systemd.md").read_text().partition(f"## {heading}\n")[2]
    # Up to the last variable of the first list.
    lines = re.findall(r"^    (fastcgi_(?:param|pass_request_headers) .*;)$", page.partition("fastcgi_param SERVER_NAME")[0], re.M)
    assert lines, "docs/hosts/nginx-systemd.md sends no variable"
    return " ".join([*lines, "fastcgi_param SERVER_NAME $server_name;"])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Servers:
    """nginx, fcgiwrap, the programs as FastCGI, and the floors."""

    FASTCGI = ["register", "verify", "verify_admin", "login", "directory_search", "identity_single", "identity_bulk"]

    def __init__(self, folder, site):
        self.folder, self.site, self.port, self.children = folder, site, free_port(), []
        self.environment = {"PATH": os.environ["PATH"], "MATRIX_REGISTER_BOT_CONFIG": str(site.config)}
        self.wrap = self.start(["fcgiwrap", "-f", "-c", "2", "-s", f"unix:{folder}/fcgiwrap"], {"LD_PRELOAD": str(KEPT / "reap.so")})
        # libfcgi serves one connection at a time, so there is a process for each that nginx keeps.
        self.fastcgi = {"floor": self.listen("floor", KEPT / "responder", str(KEPT_CONNECTIONS)), "empty": self.listen("empty", empty_responder())}
        for name in self.FASTCGI:
            self.fastcgi[name] = self.listen(name, program(name))
        self.start_nginx()

    def start(self, command, more=None, **options):
        process = subprocess.Popen([str(part) for part in command], env=self.environment | (more or {}), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, **options)
        self.children.append(process)
        return process

    def listen(self, name, program, *arguments):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.folder / f"{name}.socket"))
            listener.listen(511)
            return self.start([program, *arguments], stdin=listener)

    def start_nginx(self):
        folder = self.folder
        sizes = "client_max_body_size 64m; client_body_buffer_size 2m;"
        cgi = f"include /etc/nginx/fastcgi_params; fastcgi_param HTTP_PROXY ''; {sizes}"
        places = [("cgi/floor", KEPT / "cgi")] + [(f"cgi/{name}", program(name)) for name in self.FASTCGI]
        lines = [f"location = /{path} {{ {cgi} fastcgi_param SCRIPT_FILENAME {program}; fastcgi_pass unix:{folder}/fcgiwrap; }}" for path, program in places]
        lines += [f"location = /fastcgi/{name} {{ {variables(name)} {sizes} fastcgi_keep_conn on; fastcgi_pass {name}; }}" for name in self.fastcgi]
        kept = [f"upstream {name} {{ server unix:{folder}/{name}.socket; keepalive {KEPT_CONNECTIONS}; keepalive_requests 1000000; }}" for name in self.fastcgi]
        (folder / "nginx.conf").write_text(
            f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
            events {{ worker_connections 256; }}
            http {{ access_log off; client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/answer; proxy_temp_path {folder}/proxy;
            uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; keepalive_requests 1000000; {' '.join(kept)} server {{ listen 127.0.0.1:{self.port}; {' '.join(lines)} }} }}"""
        )
        if os.getuid() == 0:
            user = "user root; "
            (folder / "nginx.conf").write_text(user + (folder / "nginx.conf").read_text())
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.start([nginx, "-p", folder, "-c", folder / "nginx.conf"])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise SystemExit(f"nginx does not start, see {folder}/nginx.log")

    def url(self, way, name):
        return f"http://127.0.0.1:{self.port}/{way}/{name}"

    def stop(self):
        """Stops each server and its children: fcgiwrap leaves its workers behind."""
        for process in reversed(self.children):
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.children:
            process.wait(40)


def bodies(folder, users):
    """Files for wrk with one request body per line; they ask for accounts spread over all users, the same in each run."""
    pick = random.Random(1)
    asked = [account(number) for number in (pick.sample(range(users), min(users, 20_000)))]
    entry = lambda email: {"medium": "email", "address": email}
    many = lambda count: [{"lookup": [entry(email) for _, email in pick.choices(asked, k=count)]} for _ in range(4 if count > 1000 else 20)]
    login = lambda name: [{"user": {"id": f"@{name}:example.org", "password": PASSWORD}}]
    search = lambda terms: [{"by": "name", "search_term": term} for term in terms]
    sets = {
        "single": [{"lookup": entry(email)} for _, email in asked],
        "from_memory": [{"lookup": {"medium": "msisdn", "address": "4930123456"}}],
        "bulk_100": many(100),
        "bulk_1000": many(1000),
        "bulk_10000": many(10_000),
        "search_common": search(["anna", "m", "schr", "иван", "山", "garcia"]),
        "search_rare": search([localpart for localpart, _ in asked[:1000]]),
        "login": login("bench_login"),
        "login_without_hash": login("bench_cheap"),
    }
    for name, requests in sets.items():
        (folder / f"{name}.bodies").write_text("".join(json.dumps(body, ensure_ascii=False) + "\n" for body in requests))


# The localpart and address that bench/users.rs makes from a number.
HANDLES = ["anna", "max.m", "jurgen_s", "zoe", "ben", "clara-s", "lukasz", "sorensen", "emilie", "i.nikolaou", "paul", "lena", "yuri", "taro", "minjun", "aarav"]
DOMAINS = ["example.org", "mail.example.com", "students.example.edu", "bücher.example", "example.net"]


def account(number):
    mixed = (number * 0x9E37_79B9_7F4A_7C15) % 2**64
    localpart = f"{HANDLES[(mixed >> 16) % len(HANDLES)]}{number}"
    return localpart, f"{localpart}@{DOMAINS[(mixed >> 24) % len(DOMAINS)]}"
