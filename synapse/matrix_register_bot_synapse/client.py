"""Where the user sits who is logging in: the bot slows guessing by network, so that a stranger slows down nobody else."""

from ipaddress import ip_address

from synapse.logging.context import current_context


def client_address() -> str | None:
    """The address that Synapse has noted for the request it works on (from X-Forwarded-For, where its listener has
    `x_forwarded`); None where it has none. Not a part of the module API, so anything else than an address counts as none.
    """
    request = getattr(current_context(), "request", None)
    try:
        return str(ip_address(getattr(request, "ip_address", "")))
    except ValueError:
        return None
