"""What a moderator does in a client made with matrix-nio.

    nio_moderator.py BASE_URL USER TOKEN ROOM EVENT react KEY
    nio_moderator.py BASE_URL USER TOKEN ROOM EVENT reply WORDS
    nio_moderator.py BASE_URL USER TOKEN ROOM EVENT thread WORDS

Prints what the room shows of EVENT before: the body of the message, as the library reads it.
"""

import asyncio
import sys

from nio import AsyncClient, RoomGetEventResponse, RoomSendResponse


async def main(base: str, user: str, token: str, room: str, event: str, what: str, said: str) -> None:
    client = AsyncClient(base, user)
    client.access_token, client.user_id = token, user
    try:
        shown = await client.room_get_event(room, event)
        assert isinstance(shown, RoomGetEventResponse), shown
        print(shown.event.body)
        if what == "react":
            kind, content = "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": said}}
        else:
            relation = {"m.in_reply_to": {"event_id": event}}
            if what == "thread":
                relation |= {"rel_type": "m.thread", "event_id": event, "is_falling_back": True}
            kind, content = "m.room.message", {"msgtype": "m.text", "body": said, "m.relates_to": relation}
        sent = await client.room_send(room, kind, content)
        assert isinstance(sent, RoomSendResponse), sent
    finally:
        await client.close()


asyncio.run(main(*sys.argv[1:]))
