"""Lets Synapse check passwords with matrix-register-bot.

A login, step by step:

1. Synapse calls `module` with what the user typed;
2. `names` turns that into a localpart of this homeserver, or the bot is not asked;
3. `bot` sends the question, within a time limit and without blocking Synapse;
4. `answer` reads the answer: yes, no, or malformed, which counts as no;
5. `accounts` creates the account at its first login and completes the profile.

In homeserver.yaml the module is `matrix_register_bot_synapse.RegisterBotPasswords`; `config` lists its options.
"""

from .module import RegisterBotPasswords

__all__ = ["RegisterBotPasswords"]
