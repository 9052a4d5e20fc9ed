"""The address of the user who logs in: the bot slows down guessing by network, so that a stranger does not affect others."""

from ipaddress import ip_address

from synapse.logging.context import current_context


def client_address() -> str | None:
    """The client's address of Synapse's current request (from X-Forwarded-For if the listener has `x_forwarded`), or None.
    This is not part of the module API, so anything other than an address counts as None.
    """
    request = getattr(current_context(), "request", None)
    try:
        return str(ip_address(getattr(request, "ip_address", "")))
    except ValueError:
        return None
