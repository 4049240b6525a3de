"""Boots the machines of machines.py one after another and judges what came of it; see README.md and run-in-qemu.sh."""

import argparse
import json
import os
import subprocess
import sys
import time

from checks import Failed, Run, checks, private_bytes
from image import Image
from machines import FEW, PROGRAM, machines

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "Fixtures")
TABLE_HEAD = f"{'machine':18}{'check':14}{'result':8}what was seen"


def base_image(arguments):
    """What all guests have in common."""
    image = Image()
    for folder in ("proc", "sys", "dev", "tmp"):
        image.folder(folder)
    image.device("/dev/console", 5, 1)
    image.copy(os.path.join(HERE, "guest.sh"), "/init")
    image.copy(arguments.busybox, "/bin/busybox")
    image.program(os.path.join(arguments.work, "probe"), "/probe", os.path.join(arguments.work, "lib"))
    image.program(os.path.join(arguments.work, "kimi-cli"), "/kimi", os.path.join(arguments.work, "lib"))
    for name, folder in models(arguments).items():
        image.copy_folder(folder, f"/models/{name}")
    return image.archive()


def models(arguments):
    return {"tiny": os.path.join(FIXTURES, "tiny-kimi"), "mini": os.path.join(arguments.work, "mini")}


def host_results(arguments):
    """This host's logits for each model and number of tokens, the same for all its instructions; and its program's text."""
    results = {}
    environment = dict(os.environ, LD_LIBRARY_PATH=os.path.join(arguments.work, "lib"))
    for model, tokens in (("tiny", 8), ("tiny", 200), ("mini", FEW)):
        found = set()
        for isa in (1, 0):
            told = json.loads(subprocess.run(
                [os.path.join(arguments.work, "probe"), models(arguments)[model], "load=1", "threads=1", f"isa={isa}",
                 f"tokens={tokens}"], check=True, capture_output=True, env=environment).stdout)
            found.add(told.get("logits"))
        if len(found) != 1 or None in found:
            raise SystemExit(f"the host itself gives {found} for {model}, {tokens} tokens")
        results[model, tokens] = found.pop()
    command = [word.replace("/models/tiny", models(arguments)["tiny"]) for word in PROGRAM]
    program = os.path.join(arguments.work, "kimi-cli")
    text = subprocess.run([program, *command], check=True, capture_output=True, env=environment).stdout
    results["program"] = last_line(text.decode(errors="replace"))
    return results


def last_line(text):
    """What a guest tells of a step's output."""
    return text.rstrip("\n").rsplit("\n", 1)[-1].strip()


def boot(machine, arguments, base):
    """Runs a machine to its end or to the time limit; gives the outcome of each step, and how long it took."""
    folder = os.path.join(arguments.work, machine.name)
    os.makedirs(folder, exist_ok=True)
    files = {name: os.path.join(folder, name) for name in ("initrd", "console", "results", "emulator")}
    steps = Image()
    steps.write("/steps.sh", machine.script().encode())
    with open(files["initrd"], "wb") as file:
        file.write(base)
        file.write(steps.archive())
    open(files["results"], "w").close()
    command = [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", *machine.emulator_arguments(), "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{files['console']}", "-serial",
        f"file:{files['results']}", "-kernel", arguments.kernel, "-initrd", files["initrd"], "-append",
        f"console=ttyS0 quiet loglevel=4 panic=-1 softlockup_panic=1 {machine.kernel}"]
    begin = time.monotonic()
    with open(files["emulator"], "w") as log:
        try:
            subprocess.run(["nice", "-n", "5", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=arguments.limit)
        except subprocess.TimeoutExpired:
            log.write(f"stopped after {arguments.limit} s\n")
    os.remove(files["initrd"])
    return outcomes(files["results"]), time.monotonic() - begin


def outcomes(path):
    found = {}
    with open(path, errors="replace") as file:
        for line in file.read().splitlines():
            if not line.startswith("STEP "):
                continue
            _, name, status, output = (line + " ").split(" ", 3)
            output = output.strip()
            try:
                found[name] = (int(status), json.loads(output) if output.startswith("{") else output)
            except ValueError:
                found[name] = (-1, output)
    return found


def evidence(machine, found):
    """What the steps told, for reading: one paragraph a step."""
    lines = [f"{machine.name}: {machine.what}", "qemu-system-x86_64 " + " ".join(machine.emulator_arguments()), ""]
    for step in machine.steps:
        status, told = found.get(step.name, (None, "no outcome"))
        lines.append(f"== {step.name}: {' '.join(step.command)}" + (f"  (group {step.group})" if step.group else ""))
        if not isinstance(told, dict) or "features" not in told:
            lines.append(f"   status {status}: {json.dumps(told) if isinstance(told, dict) else told}")
            continue
        if step.model == "-":
            lines.append("   features   " + json.dumps(told["features"]))
            continue
        lines.append(f"   status     {told['status']}" + (f": {told['message']}" if "message" in told else ""))
        if "info" in told:
            lines.append(f"   logits     {told.get('logits')}")
            lines.append("   workers    " + (" ".join(worker["allowed"] for worker in told["workers"]) or "none but the caller"))
            lines.append("   caller     " + " ".join(told["caller_seen"]) + ", after " + told["caller_after"])
            nodes = range(len(machine.nodes))
            lines.append("   own KiB    " + " ".join(str(private_bytes(told)[node] // 1024) for node in nodes))
            for one in told["memory"]:
                if one["policy"] != "default" or one["page_kb"] != 4:
                    lines.append(f"              {one['policy']}, {one['kind']}, pages of {one['page_kb']} KiB: " +
                                 " ".join(str(one["nodes"][node] // 1024) for node in nodes))
            if "placement" in told["info"]:
                lines.append("   placement  " + json.dumps(told["info"]["placement"]))
        lines += [f"   log        {entry['level']} {entry['message']}" for entry in told["log"]]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True, help="a folder with kimi-cli, lib/libkimi.so.1, the probe and the models")
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--busybox", required=True)
    parser.add_argument("--limit", type=int, default=600, help="seconds for one machine")
    parser.add_argument("--record", help="a folder for the recorded output")
    parser.add_argument("names", nargs="*", help="machines; all if none are named")
    arguments = parser.parse_args()

    chosen = [machine for machine in machines() if not arguments.names or machine.name in arguments.names]
    if not chosen:
        parser.error(f"no such machine; there are {' '.join(machine.name for machine in machines())}")
    base, host = base_image(arguments), host_results(arguments)

    rows = [TABLE_HEAD]
    failures = 0
    print(rows[0])
    for machine in chosen:
        found, seconds = boot(machine, arguments, base)
        if "boot" not in found:
            # An emulated machine now and then stops while its processors come up; that says nothing of the library.
            print(f"{machine.name:18}did not come up, once more", flush=True)
            found, seconds = boot(machine, arguments, base)
        for name, result, words in judge(machine, Run(machine, found, host)):
            failures += result != "ok"
            rows.append(f"{machine.name:18}{name:14}{result:8}{words}")
            print(rows[-1], flush=True)
        print(f"{machine.name:18}took {seconds:.0f} s", flush=True)
        write(os.path.join(arguments.work, machine.name, "evidence.txt"), evidence(machine, found))
        if arguments.record:
            write(os.path.join(arguments.record, f"{machine.name}.txt"), evidence(machine, found))
    rows.append(f"{len(rows) - 1} checks, {failures} failed")
    print(rows[-1])
    if arguments.record:
        record_table(os.path.join(arguments.record, "table.txt"), rows[1:-1], chosen)
    sys.exit(1 if failures else 0)


def record_table(path, rows, chosen):
    """Writes the checks of these machines in place of what the table had of them."""
    kept = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            kept = file.read().splitlines()[1:-1]
    of = {machine.name: [row for row in kept if row.split()[0] == machine.name] for machine in machines()}
    of |= {machine.name: [row for row in rows if row.split()[0] == machine.name] for machine in chosen}
    table = [row for each in of.values() for row in each]
    failures = sum(row[32:].startswith("FAILED") for row in table)
    write(path, "\n".join([TABLE_HEAD, *table, f"{len(table)} checks, {failures} failed"]) + "\n")


def judge(machine, run):
    """The name of each check, "ok" or "FAILED", and the words."""
    for check in checks(machine):
        try:
            result, words = "ok", check(run)
        except Failed as failure:
            result, words = "FAILED", str(failure)
        except (KeyError, TypeError, IndexError) as failure:
            result, words = "FAILED", f"an outcome is missing or of another form: {failure!r}"
        yield check.__name__.replace("_", " "), result, words


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
