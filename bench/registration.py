"""A whole registration by applicant and room: form, mail, confirmation, message, decision, account, mail."""

import email
import email.policy
import html.parser
import http.client
import re
import urllib.parse


class Form(html.parser.HTMLParser):
    """The hidden fields of a page's first form."""

    def __init__(self, page):
        super().__init__()
        self.fields, self.is_over = {}, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if not self.is_over and tag == "input" and attributes.get("type") == "hidden":
            self.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag):
        self.is_over |= tag == "form"


def ask(servers, way, name, query="", fields=None):
    connection = http.client.HTTPConnection("127.0.0.1", servers.port, timeout=60)
    body = urllib.parse.urlencode(fields) if fields else None
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
    connection.request("POST" if fields else "GET", f"/{way}/{name}?{query}", body, headers)
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    if answer.status not in (200, 303):
        raise SystemExit(f"{name} answered {answer.status}:\n{page}")
    return page


def newest_mail(site):
    file = max((site.folder / "mails").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    text = email.message_from_bytes(file.read_bytes(), policy=email.policy.default).get_body(("plain",)).get_content()
    file.unlink()
    return text


def link(text, name):
    return re.search(rf"https://register.example.org/{name}\?(\S+)", text)[1]


def register(servers, way, username):
    site = servers.site
    typed = {"first_name": "Max", "last_name": "Müller", "email": f"{username}@example.org", "username": username, "note": "Hello", "send": "1"}
    ask(servers, way, "register", fields=Form(ask(servers, way, "register")).fields | typed)
    passwords = {"password": "a long enough password", "password_again": "a long enough password"}
    query = link(newest_mail(site), "verify")
    ask(servers, way, "verify", fields=Form(ask(servers, way, "verify", query)).fields | passwords)
    query = link(site.homeserver.message, "verify_admin")
    ask(servers, way, "verify_admin", fields=Form(ask(servers, way, "verify_admin", query)).fields | {"decision": "approve"})
    if username not in newest_mail(site):
        raise SystemExit("the last mail is not the one that says how to log in")
