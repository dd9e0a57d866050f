#!/usr/bin/python3
"""Reads what traffic.py prints and shows, at 80 columns, how the answers spread over the backends. Exits with 1 when
a request failed."""
import json
import sys

KINDS = {"http4": "HTTP, IPv4", "http6": "HTTP, IPv6", "udp4": "UDP, IPv4", "udp6": "UDP, IPv6",
         "held": "held open"}
BAR = 30


def main():
    result = json.load(sys.stdin)
    backends = sorted({name for answers in result["answers"].values() for name in answers})
    total = 0
    for kind, title in KINDS.items():
        answers = result["answers"].get(kind)
        if not answers:
            continue
        asked = sum(answers.values())
        total += asked
        for row, name in enumerate(backends):
            count = answers.get(name, 0)
            print(f"  {title if row == 0 else '':<12} {name:<4} {count:>7} {count / asked:>7.1%}  "
                  f"{'█' * round(BAR * count / asked)}")
    failures = result["failures"]
    print(f"  {total} answered, {len(failures)} failed")
    for failure in failures[:5]:
        print(f"    {failure}")
    return 1 if failures or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
