"""A Synapse with changed private attributes: addresses are not recorded, but nothing fails."""

import unittest
from typing import Any

from matrix_register_bot_synapse import threepids


class WithoutPrivateParts(unittest.IsolatedAsyncioTestCase):
    api: Any = object()

    async def test_no_address_counts_as_free_and_the_log_says_why(self) -> None:
        with self.assertLogs("matrix_register_bot_synapse", "WARNING") as log:
            self.assertEqual(await threepids.unowned(self.api, ["max@example.org"]), [])
        self.assertIn("this Synapse does not say who has a mail address", log.output[0])

    async def test_an_address_that_cannot_be_added_is_a_line_in_the_log(self) -> None:
        with self.assertLogs("matrix_register_bot_synapse", "WARNING") as log:
            await threepids.add(self.api, "@max:example.test", "max@example.org")
        self.assertIn("the mail address of @max:example.test was not added", log.output[0])
