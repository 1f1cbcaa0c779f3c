"""Let a browser in: a form takes the token once, and a cookie stands for it from then on.

The cookie is a secret of its own that ends with the server: other servers of this machine can see
it, because cookies know no ports, but never the token.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from quantgod.api.guard.limits import Clock
from quantgod.api.guard.token import hash_of
from quantgod.settings import command

LOGIN: Final = "/login"
FIRST_PAGE: Final = "/"
COOKIE: Final = "quantgod"
SESSION_SECONDS: Final = 43_200
MOST_SESSIONS: Final = 100

STYLE: Final = "/page/files/style.css"
"""Of the form, and all that is given to whom the server does not know."""


class Sessions:
    """The sessions of browsers, in memory alone; the oldest ends when there are too many.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def begin(self) -> str:
        """Begin a session; return its cookie."""
        secret = secrets.token_urlsafe(32)
        while len(self._until) >= MOST_SESSIONS:
            del self._until[next(iter(self._until))]
        self._until[hash_of(secret)] = self._clock() + SESSION_SECONDS
        age = f"Max-Age={SESSION_SECONDS}"
        return f"{COOKIE}={secret}; HttpOnly; SameSite=Strict; Path=/; {age}"

    def holds(self, cookies: str) -> bool:
        """Return whether a Cookie header names a session that has not ended."""
        try:
            found = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        until = self._until.get(hash_of(found.value)) if found is not None else None
        return until is not None and self._clock() < until


def login_form(problem: str = "") -> str:
    """Return the page whose form takes the token.

    Args:
        problem: why the one that was sent does not open; empty if none was.
    """
    alert = f'<p id="problem" class="refused" role="alert">{problem}</p>' if problem else ""
    wrong = '\naria-invalid="true" aria-describedby="problem"' if problem else ""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="{STYLE}">
<title>quantgod: log in</title></head>
<body class="login"><main><h1>quantgod</h1>
<section><form method="post" action="{LOGIN}">
<p class="field"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required
autofocus{wrong}></p>
{alert}
<p><button>Log in</button></p>
<p class="note">It was shown when it was made; <code>{command("manage", "--new-token")}</code> makes
another.</p>
</form></section></main></body>
</html>
"""


def posted_token(body: bytes) -> str:
    """Return the token that the form has sent; empty if there is none."""
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return fields.get("token", [""])[0]
