"""`steps.manage` as a user starts it, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import requests
from click.testing import CliRunner

import steps.manage
from tests.registry.shelves import Shelf
from tests.servers import free_port

ROOT = Path(__file__).parents[2]


def test_it_does_not_start_without_a_token(shelf: Shelf, tmp_path: Path) -> None:
    said = CliRunner().invoke(steps.manage.main, ["--set", f"manage.folder={tmp_path}/own"])
    assert said.exit_code == 1
    assert "NoTokenError" in said.output and "`python -m steps.manage --new-token`" in said.output
    assert not (tmp_path / "own").exists()


def test_it_shows_a_new_token_once_and_serves_by_it_until_it_is_stopped(
    shelf: Shelf, tmp_path: Path
) -> None:
    port, places = free_port(), f"manage.folder={tmp_path}/own;live.journal={tmp_path}/journal"
    command = [sys.executable, "-m", "steps.manage", "--name", "quantgod", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--set", places, "--new-token", "true"],
        cwd=ROOT, env=os.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(2)]
        token = re.fullmatch(r"token, shown this once: (\S{43})\n", lines[0])
        assert token and f"open http://127.0.0.1:{port}/ and log in with the token" in lines[1]
        address = f"http://127.0.0.1:{port}/api/versions"
        session = requests.Session()
        retries = requests.adapters.Retry(connect=8, backoff_factor=0.1)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        assert session.get(address).status_code == 401
        second = CliRunner().invoke(
            steps.manage.main, ["--port", str(port), "--set", places, "--new-token", "true"]
        )
        assert second.exit_code == 1 and f"port {port} is in use by" in second.output
        assert "shown this once" not in second.output, "it leaves the first one's token as it is"
        answer = session.get(address, headers={"Authorization": f"Bearer {token[1]}"})
        assert [one["version"] for one in answer.json()] == [1, 2, 3, 4]
        bearer = {"Authorization": f"Bearer {token[1]}"}
        stream = session.get(
            address.replace("versions", "signals/stream"), headers=bearer, stream=True
        )
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=30)
        assert stream.status_code == 200 and stream.content.strip() == b"", "it ends, and is whole"
    assert token[1] not in out + err
    assert token[1] not in "".join(path.read_text() for path in (tmp_path / "own").iterdir())
    assert "Traceback" not in err and "Cancel" not in err
