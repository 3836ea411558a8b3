"""Users who ask the service, and a ledger of what they were told: kept outside the register.

`python traffic.py URL USERS SEED` asks until its standard input is closed, then prints the ledger.
"""

import http.client
import json
import random
import sys
import threading
from collections import Counter
from typing import Final
from urllib.parse import urlencode, urlsplit

import plant

CLIENTS: Final = 8
PAUSE_SECONDS: Final = 0.02


def ask(
    service: http.client.HTTPConnection, equipment: str, user: str
) -> tuple[int, dict[str, str]]:
    """Ask for a diagnosis; give the status, and what is said of the version."""
    words = urlencode({"equipment_id": equipment, "user_id": user})
    service.request("POST", f"/diagnosis/create?{words}")
    answer = service.getresponse()
    said = json.loads(answer.read())
    return answer.status, said["detail"] if answer.status == 500 else said


def visit(url: str, users: int, seed: int, stop: threading.Event, ledger: Counter[str]) -> None:
    """Ask for one user after another until told to stop."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    place = urlsplit(url)
    service = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    while not stop.wait(PAUSE_SECONDS):
        user = f"user{chance.randrange(users)}"
        equipment = plant.name(chance.randrange(plant.EQUIPMENT))
        status, said = ask(service, equipment, user)
        ledger["asked"] += 1
        if said["experiment"]:
            ledger[f"{said['variant']} results"] += 1
            ledger[f"{said['variant']} errors"] += status == 500
    service.close()


def main(url: str, users: int, seed: int) -> None:
    """Let several clients ask at once, and print what all of them were told."""
    stop = threading.Event()
    # One ledger each: two threads that count in one lose some.
    ledgers: list[Counter[str]] = [Counter() for _ in range(CLIENTS)]
    clients = [
        threading.Thread(target=visit, args=(url, users, seed + at, stop, ledger))
        for at, ledger in enumerate(ledgers)
    ]
    for client in clients:
        client.start()
    sys.stdin.read()
    stop.set()
    for client in clients:
        client.join()
    print(json.dumps(sum(ledgers, Counter())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
