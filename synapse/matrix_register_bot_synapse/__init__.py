"""Synapse asks matrix-register-bot whether a password is right.

A login, step by step:

1. `module` is called by Synapse with what the user typed;
2. `names` makes a localpart of this homeserver of it, or nothing is asked;
3. `bot` sends the question, within a time limit and without blocking Synapse;
4. `answer` judges what came back: yes, no, or not understood, which is no;
5. `accounts` makes the account on its first login and completes the profile.

In homeserver.yaml the module is `matrix_register_bot_synapse.RegisterBotPasswords`; `config` says which options it has.
"""

from .module import RegisterBotPasswords

__all__ = ["RegisterBotPasswords"]
