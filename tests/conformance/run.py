#!/usr/bin/env python3
"""DMTF's validators and clients against a running Holdfast: `./dev conformance`.

Starts `holdfast serve` with its private Redis and default settings in a scratch directory, installs the tools of
requirements.txt into a virtual environment below target/, runs each, and prints a table. The exit status is 1 when
anything failed, or nothing could be run (0 with --may-skip).
"""

import argparse
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HOME = ROOT / "target" / "conformance"
BIN = HOME / "venv" / "bin"
LOGS = HOME / "logs"
# With either of these set, the tools verify the self-signed certificate whatever they are told.
ENVIRONMENT = {k: v for k, v in os.environ.items()
               if k not in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") and not k.startswith("HOLDFAST_")}


class Skipped(Exception):
    """The tools can't be run here."""


def install():
    """Makes the virtual environment, unless it is there with the same versions."""
    wanted = (HERE / "requirements.txt").read_text()
    marker = HOME / "installed.txt"
    if marker.exists() and marker.read_text() == wanted and BIN.exists():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", HOME / "venv"], capture_output=True, text=True)
    if made.returncode:
        raise Skipped("python3 can make no virtual environment (Debian: apt-get install python3-venv)")
    print("conformance: installing DMTF's tools (tests/conformance/requirements.txt)", file=sys.stderr)
    pip = [BIN / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Skipped(f"pip could not install the tools; is there a network? ({last})")
    marker.write_text(wanted)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    """A running Holdfast and a subscriber to try with."""

    def __init__(self, program, scratch):
        self.password = secrets.token_hex(12)
        self.intake, self.admin, self.redfish, self.sink = (free_port() for _ in range(4))
        self.base = f"https://127.0.0.1:{self.redfish}"
        settings = {
            "HOLDFAST_INTAKE__LISTEN": f"127.0.0.1:{self.intake}",
            "HOLDFAST_ADMIN__LISTEN": f"127.0.0.1:{self.admin}",
            "HOLDFAST_REDFISH__LISTEN": f"127.0.0.1:{self.redfish}",
            "HOLDFAST_REDFISH__ADMIN_PASSWORD": self.password,
            "HOLDFAST_WORKER__DRAIN_DELAY": "0s",
            # The subscriber is on this machine.
            "HOLDFAST_DESTINATIONS__ALLOW": "127.0.0.0/8",
        }
        log = open(LOGS / "holdfast.log", "w")
        start = lambda *words: subprocess.Popen([program, *words], cwd=scratch, env=ENVIRONMENT | settings,
                                                stdout=log, stderr=log)
        self.processes = [start("serve"), start("sink", "--listen", f"127.0.0.1:{self.sink}")]
        self.wait(f"http://127.0.0.1:{self.admin}/readyz")

    def wait(self, url):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.processes[0].poll() is not None:
                break
            try:
                return urllib.request.urlopen(url, timeout=5).read()
            except OSError:
                time.sleep(0.1)
        sys.exit(f"conformance: holdfast does not get ready; see {LOGS / 'holdfast.log'}")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


class Result:
    """What one tool said."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.untested, self.seconds = name, 0, 0, 0, 0.0
        self.notes = []

    def check(self, what, is_so):
        self.passed += bool(is_so)
        self.failed += not is_so
        if not is_so:
            self.notes.append(what)


def tool(log, *words):
    """Runs a tool, keeps its output, and answers its status and what it said."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run([str(BIN / words[0]), *words[1:]], cwd=LOGS, env=ENVIRONMENT, timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        status, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, said = -1, f"{late.stdout or ''}\nno end after 300 s"
    with open(LOGS / f"{log}.log", "a") as file:
        file.write(f"$ {words[0]}\n{said}\n")
    return status, said


def counted(result, said, pattern):
    """Reads a validator's totals; none at all count as a failure."""
    totals = re.findall(pattern, said)
    if not totals:
        return result.check("no totals in its output", False)
    result.passed, _warned, result.failed, result.untested = map(int, totals[-1])
    if result.failed:
        result.notes.append(f"see {LOGS / result.name}.log and the report beside it")


BOX = r"\|\s+(\d+)\s+\|\s+(\d+)\s+\|\s+(\d+)\s+\|\s+(\d+)\s+\|"


def service_validator(result, service, schemas):
    where = ["--skipschema", "--schema_directory", schemas] if schemas else ["--schema_directory", HOME / "schemas"]
    _, said = tool(result.name, "rf_service_validator", "-r", service.base, "-u", "admin", "-p", service.password,
                   "--authtype", "Session", "--logdir", "service-validator", *where)
    counted(result, said, BOX)


def protocol_validator(result, service, _schemas):
    _, said = tool(result.name, "rf_protocol_validator", "-r", service.base, "-u", "admin", "-p", service.password,
                   "--no-cert-check", "--avoid-http-redirect", "--report-dir", "protocol-validator",
                   "--report-type", "tsv")
    counted(result, said, r"PASS: (\d+), WARN: (\d+), FAIL: (\d+), NOT_TESTED: (\d+)")


def use_case_checkers(result, service, _schemas):
    _, said = tool(result.name, "rf_use_case_checkers", "-r", service.base, "-u", "admin", "-p", service.password,
                   "--report-dir", "use-case-checkers", "--test-list", "AccountManagement", "QueryParameters")
    counted(result, said, BOX)


def event_clients(result, service, _schemas):
    """Subscribe, list, an event in at one end and out at the other, unsubscribe: all with DMTF's clients."""
    def events(*words):
        return tool(result.name, "rf_event_service.py", "-r", service.base, "-u", "admin", "-p", service.password,
                    *words)

    destination = f"http://127.0.0.1:{service.sink}/conformance"
    status, said = events("subscribe", "-dest", destination, "-c", "conformance")
    result.check("rf_event_service.py subscribe", status == 0)
    subscription = re.search(r"Subscriptions/(\S+)", said)
    result.check("the subscription's URI", subscription)
    status, said = events("info")
    result.check("rf_event_service.py info", status == 0 and destination in said)
    status, said = tool(result.name, "rf_test_event_listener.py", "-l",
                        f"http://127.0.0.1:{service.intake}/events/conformance")
    result.check("rf_test_event_listener.py into the intake", status == 0 and "responded with 200" in said)
    result.check("the event at the subscriber", arrived(f"http://127.0.0.1:{service.sink}/-/deliveries"))
    if subscription:
        status, _ = events("unsubscribe", "-i", subscription.group(1).rstrip("'\"."))
        result.check("rf_event_service.py unsubscribe", status == 0)
    _, said = events("info")
    result.check("nothing left to list", destination not in said)


def arrived(url):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if b"/conformance" in urllib.request.urlopen(url, timeout=5).read():
            return True
        time.sleep(0.1)
    return False


def redfishtool(result, service, _schemas):
    def run(*words):
        return tool(result.name, "redfishtool", "-r", f"127.0.0.1:{service.redfish}", "-u", "admin", "-p",
                    service.password, "-S", "Always", *words)

    for login in ("Session", "Basic"):
        for words in (["root"], ["raw", "GET", "/redfish/v1/EventService"], ["SessionService", "Sessions"],
                      ["AccountService", "Accounts"], ["AccountService", "Roles"]):
            status, said = run("-A", login, *words)
            result.check(f"redfishtool -A {login} {' '.join(words)}", status == 0 and "@odata.id" in said)
    body = json.dumps({"UserName": "rftool", "Password": service.password, "RoleId": "ReadOnly"})
    status, _ = run("-A", "Session", "raw", "POST", "/redfish/v1/AccountService/Accounts", "-d", body)
    result.check("redfishtool raw POST", status == 0)
    status, said = run("-A", "Session", "raw", "PATCH", "/redfish/v1/AccountService/Accounts/rftool", "-d",
                       '{"RoleId": "Operator"}')
    result.check("redfishtool raw PATCH", status == 0)
    status, _ = run("-A", "Session", "raw", "DELETE", "/redfish/v1/AccountService/Accounts/rftool")
    result.check("redfishtool raw DELETE", status == 0)


TOOLS = {
    "service-validator": ("redfish-service-validator", service_validator),
    "protocol-validator": ("redfish-protocol-validator", protocol_validator),
    "use-case-checkers": ("redfish-use-case-checkers", use_case_checkers),
    "event-clients": ("redfish-utilities", event_clients),
    "redfishtool": ("redfishtool", redfishtool),
}


def schema_directory(given):
    if given:
        return Path(given).resolve()
    beside = ROOT.parent / "shared" / "redfish" / "csdl"
    return beside if beside.is_dir() else None


def run(names, program, schemas):
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        service = Service(program, scratch)
        try:
            for name in names:
                result = Result(name)
                start = time.monotonic()
                TOOLS[name][1](result, service, schemas)
                result.seconds = time.monotonic() - start
                results.append(result)
        finally:
            service.stop()
    return results


def table(results):
    versions = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().split() if "==" in line)
    print(f"{'tool':<30} {'version':<8} {'pass':>5} {'fail':>5} {'not tested':>11} {'seconds':>8}")
    for result in results:
        package = TOOLS[result.name][0]
        print(f"{package:<30} {versions[package]:<8} {result.passed:>5} {result.failed:>5} {result.untested:>11} "
              f"{result.seconds:>8.1f}")
        for note in result.notes:
            print(f"    FAIL: {note}")


def main():
    parser = argparse.ArgumentParser(prog="./dev conformance", description=__doc__.split("\n\n")[0])
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--schemas", help="directory of CSDL files (*_v1.xml); else ../shared/redfish/csdl where it "
                                          "is there, else the validator downloads them")
    parser.add_argument("--only", choices=TOOLS, action="append", help="run only this one")
    parser.add_argument("--may-skip", action="store_true", help="exit 0 where the tools or schemas are not to be had")
    given = parser.parse_args()
    schemas = schema_directory(given.schemas)
    try:
        if given.may_skip and not schemas:
            raise Skipped("no schemas: give their directory with --schemas")
        install()
    except Skipped as why:
        print(f"conformance: SKIPPED, nothing was tested: {why}")
        sys.exit(0 if given.may_skip else 1)
    if not schemas:
        print("conformance: no directory of schemas; the service validator downloads them", file=sys.stderr)
    results = run(given.only or list(TOOLS), Path(given.program).resolve(), schemas)
    table(results)
    failed = sum(result.failed for result in results)
    print(f"conformance: {'FAILED' if failed else 'passed'}; output of the tools in {LOGS.relative_to(ROOT)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
