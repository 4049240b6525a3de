"""The machines that libkimi's placement is tried on, and what is done on each. None of them need exist: QEMU emulates them."""

from dataclasses import dataclass, field

MIB = 1 << 20

# Numbers of kimi.h.
MAP, COPY, STREAM = 1, 2, 3
POLICIES = {"slice": 1, "expert": 2, "replicate": 3}
SMALL, HUGE = 1, 2


@dataclass
class Step:
    """A probe, or a command of another kind, that runs in a guest."""

    name: str
    command: list
    # What a probe was asked for; empty for other commands.
    options: dict = field(default_factory=dict)
    model: str = ""
    # The processors that its process may use.
    allowed: list = None
    group: str = ""
    # Whether the model must not open.
    refused: bool = False


@dataclass
class Node:
    """A memory node of a machine and the processors at it; none: a node of memory alone."""

    processors: list
    mebibytes: int = 640


@dataclass
class Machine:
    name: str
    what: str
    nodes: list
    sockets: int
    cores: int
    cpu: str = "max"
    kernel: str = ""
    # Shell lines before the steps.
    prepare: str = ""
    steps: list = field(default_factory=list)
    # Processors that are switched off.
    offline: list = field(default_factory=list)
    # Further checks, by name, of checks.py.
    checks: list = field(default_factory=list)

    @property
    def processors(self):
        return [number for node in self.nodes for number in node.processors if number not in self.offline]

    @property
    def computing(self):
        """The processors of each node that has some."""
        of = [[number for number in node.processors if number not in self.offline] for node in self.nodes]
        return [numbers for numbers in of if numbers]

    def probe(self, name, model, allowed=None, group="", before=(), refused=False, **options):
        folder = f"/models/{model}" if model != "-" else "-"
        command = [*before, "/probe", folder, *(f"{key}={value}" for key, value in options.items())]
        self.steps.append(Step(name, command, options, model, allowed or self.processors, group, refused))

    def run(self, name, command, group=""):
        self.steps.append(Step(name, command, group=group))

    def emulator_arguments(self):
        arguments = ["-cpu", self.cpu, "-m", f"{sum(node.mebibytes for node in self.nodes)}M"]
        arguments += ["-smp", f"{self.sockets * self.cores},sockets={self.sockets},cores={self.cores},threads=1"]
        for number, node in enumerate(self.nodes):
            arguments += ["-object", f"memory-backend-ram,id=memory{number},size={node.mebibytes}M"]
            processors = "".join(f",cpus={processor}" for processor in node.processors)
            arguments += ["-numa", f"node,nodeid={number}{processors},memdev=memory{number}"]
        for source in range(len(self.nodes)):
            for target in range(len(self.nodes)):
                if source != target:
                    distance = 21 if self.nodes[source].processors and self.nodes[target].processors else 31
                    arguments += ["-numa", f"dist,src={source},dst={target},val={distance}"]
        return arguments

    def script(self):
        """What the guest runs: /steps.sh."""
        def quoted(words):
            return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)

        lines = [self.prepare]
        for step in self.steps:
            lines.append((f"in_group {step.group} " if step.group else "step ") + f"{step.name} {quoted(step.command)}")
        return "\n".join(lines) + "\n"


# Tokens for the model of which pages are counted: its weights are all there from the start, and emulated arithmetic is slow.
FEW = 3
PROGRAM = ["run", "/models/tiny", "Once upon a time", "--greedy", "--max-tokens", "12"]


def add_logits(machine, threads=(1, 2, 3, 4, 6), prompts=(1, 4)):
    """The small model, opened in every way that must not change a bit.

    prompts: the threads of evaluations that are long enough for the fast path.
    """
    for count in threads:
        machine.probe(f"map-{count}", "tiny", load=MAP, threads=count)
        machine.probe(f"copy-{count}", "tiny", load=COPY, threads=count)
    for count in prompts:
        machine.probe(f"prompt-{count}", "tiny", load=COPY, threads=count, tokens=200)
    for policy, number in POLICIES.items():
        for nodes in range(1, len(machine.computing) + 1):
            for count in sorted({nodes, nodes + 1, 4} & {*threads, nodes}):
                machine.probe(f"{policy}-{nodes}-{count}", "tiny", load=COPY, threads=count, placement=number, nodes=nodes)
        if len(prompts) > 1:
            machine.probe(f"{policy}-prompt", "tiny", load=COPY, placement=number, tokens=200)


def add_pages(machine):
    """A model that is large enough for its pages to be counted."""
    machine.probe("pages-default", "mini", tokens=FEW, load=COPY)
    for policy, number in POLICIES.items():
        machine.probe(f"pages-{policy}", "mini", tokens=FEW, load=COPY, placement=number)
        # What is not weights lies the same way here.
        machine.probe(f"mapped-{policy}", "mini", tokens=FEW, load=MAP, placement=number)


def machines():
    """All machines."""
    two = [Node([0, 1]), Node([2, 3])]
    all_machines = []

    def machine(*arguments, **members):
        made = Machine(*arguments, **members)
        made.probe("features", "-")
        all_machines.append(made)
        return made

    one = machine("one-node", "1 socket of 4 cores, 1 node", [Node([0, 1, 2, 3], 1024)], 1, 4, checks=["program"])
    add_logits(one)
    add_pages(one)
    one.run("program", ["/kimi", *PROGRAM])

    pair = machine("two-nodes", "2 sockets of 2 cores, a node each", two, 2, 2, checks=["program", "denied"])
    add_logits(pair)
    add_pages(pair)
    pair.run("program", ["/kimi", *PROGRAM])
    for processors in ([0, 1], [2, 3], [1, 2], [3]):
        text = ",".join(map(str, processors))
        pair.probe(f"taskset-{text}", "tiny", processors, before=["taskset", "-c", text], load=COPY)
        pair.probe(f"taskset-{text}-4", "tiny", processors, before=["taskset", "-c", text], load=COPY, threads=4)
    for calls in ("mbind", "move_pages", "affinity", "mbind,move_pages,affinity"):
        pair.probe("denied-" + calls.replace(",", "-"), "mini", tokens=FEW, load=COPY, deny=calls)

    scalar = machine("two-nodes-scalar", "the same, processors without AVX", two, 2, 2, cpu="qemu64")
    add_logits(scalar, threads=(1, 4), prompts=(4,))

    clusters = machine("sub-numa", "1 socket of 4 cores, 2 nodes in it", two, 1, 4)
    add_logits(clusters, threads=(1, 4))
    add_pages(clusters)

    four = machine("four-nodes", "4 sockets of 1 core, a node each", [Node([n], 384) for n in range(4)], 4, 1)
    add_logits(four, threads=(1, 3, 4))
    add_pages(four)

    uneven = machine("uneven", "1 socket of 4 cores, nodes with 3 and 1 of them, 768 and 384 MiB",
                     [Node([0, 1, 2], 768), Node([3], 384)], 1, 4)
    add_logits(uneven, threads=(1, 4))
    add_pages(uneven)

    distant = machine("memory-node", "2 sockets of 2 cores, a node each, and a third node of memory alone",
                      [*two, Node([])], 2, 2)
    add_logits(distant, threads=(1, 4))
    add_pages(distant)

    offline = machine("offline", "2 sockets of 2 cores, the last of each off, one from the start; 64 huge pages set apart",
                      two, 2, 2, offline=[1, 3], kernel="maxcpus=3 hugepages=64", checks=["huge_pages"],
                      prepare="echo 0 >/sys/devices/system/cpu/cpu1/online")
    add_logits(offline, threads=(1, 2, 4))
    offline.probe("huge-explicit", "mini", tokens=FEW, load=COPY, pages=HUGE)
    offline.probe("huge-none", "mini", tokens=FEW, load=COPY, pages=SMALL)
    offline.run("fewer", ["sh", "-c", "echo 8 >/proc/sys/vm/nr_hugepages"])
    offline.probe("huge-short", "mini", tokens=FEW, load=COPY, pages=HUGE)

    limited = machine("cgroup", "2 sockets of 2 cores; groups with 212 MiB, and with the second node alone", two, 2, 2,
                      checks=["limits"], prepare="""\
mount -t cgroup2 none /sys/fs/cgroup
echo '+memory +cpuset' >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/small /sys/fs/cgroup/second
echo 212M >/sys/fs/cgroup/small/memory.max
echo 2-3 >/sys/fs/cgroup/second/cpuset.cpus
echo 1 >/sys/fs/cgroup/second/cpuset.mems""")
    limited.probe("too-large", "mini", tokens=FEW, group="small", refused=True, load=COPY)
    limited.probe("mapped", "mini", tokens=FEW, group="small", load=MAP, chunk=32)
    limited.probe("streamed", "mini", tokens=FEW, group="small", load=STREAM, resident=16 * MIB, chunk=32)
    limited.probe("fits", "tiny", group="small", load=COPY)
    limited.run("killed", ["sh", "-c", "grep oom_kill /sys/fs/cgroup/small/memory.events"])
    limited.probe("second", "tiny", [2, 3], group="second", load=COPY)
    limited.probe("second-4", "tiny", [2, 3], group="second", load=COPY, threads=4)
    limited.probe("second-pages", "mini", [2, 3], tokens=FEW, group="second", load=COPY)
    return all_machines
