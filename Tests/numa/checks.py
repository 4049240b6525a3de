"""What must have come of the steps on a machine. Each check is a function of a Run that says what it saw, or fails with words."""

import itertools
import re

from machines import COPY, MAP, MIB, POLICIES


class Failed(Exception):
    """A check's claim does not hold."""


def need(condition, words):
    if not condition:
        raise Failed(words)


class Run:
    """A machine and what its steps told: for each name the status and the output, parsed where it is JSON."""

    def __init__(self, machine, outcomes, host):
        self.machine = machine
        self.outcomes = outcomes
        # The logits' hash on this host, for a model and a number of tokens; under "program" the program's text.
        self.host = host

    def probes(self, **options):
        """Steps that opened a model, and what they told; those alone that were asked for the given options."""
        for step in self.machine.steps:
            if step.model in ("", "-") or any(step.options.get(key) != value for key, value in options.items()):
                continue
            _, told = self.outcomes.get(step.name, (None, None))
            need(isinstance(told, dict), f"{step.name}: status {self.outcomes.get(step.name)}")
            yield step, told

    def opened(self, **options):
        """Those of the probes whose model opened."""
        return [(step, told) for step, told in self.probes(**options) if "info" in told]


def numbers(mask):
    """The processors of a list as the kernel writes it: 0-2,5."""
    found = []
    for part in filter(None, mask.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def private_bytes(told, at="memory"):
    """The process's own memory by node that came with the model: the kernel's count at that time, less that before."""
    def count(maps):
        return [sum(one["nodes"][node] for one in maps if one["kind"] == "anonymous") for node in range(16)]
    return [after - before for after, before in zip(count(told[at]), count(told["memory_before"]))]


def asked(told, at="memory"):
    """The mappings for which a node was asked for, with that node."""
    for one in told[at]:
        match = re.fullmatch(r"(?:bind|prefer)[a-z= ()]*:(\d+)", one["policy"])
        if match:
            yield int(match[1]), one


def asked_bytes(told, at="memory"):
    """How much lies on each node of what is in such mappings."""
    return [sum(one["nodes"][node] for _, one in asked(told, at)) for node in range(16)]


def usable_cores(machine, step):
    """How many of the process's cores are at the nodes that a step may compute on: one number for each choice of nodes."""
    of = [len(set(processors) & set(step.allowed)) for processors in machine.computing]
    of = [count for count in of if count > 0]
    return {sum(choice) for choice in itertools.combinations(of, min(len(of), step.options.get("nodes") or len(of)))}


def node_of(machine, processor):
    return next(number for number, node in enumerate(machine.nodes) if processor in node.processors)


def warnings(told):
    return [entry["message"] for entry in told["log"] if entry["level"] >= 2]


# ---------------------------------------------------------------------------------------------------------------------
# For every machine

def steps(run):
    """Every step ended by itself, every model opened that should, and the guest came to its end."""
    missing = [step.name for step in run.machine.steps if step.name not in run.outcomes]
    need(not missing, f"no outcome of {', '.join(missing)}")
    bad = [f"{name}: {status}" for name, (status, _) in run.outcomes.items() if status != 0]
    need(not bad, f"statuses: {'; '.join(bad)}")
    for step, told in run.probes():
        need(step.refused == ("info" not in told), f"{step.name}: {told['status']}: {told.get('message')}")
    _, said = run.outcomes["kernel"]
    need(said == "", f"the kernel: {said}")
    return f"{len(run.machine.steps)} steps, the guest was up after {run.outcomes['boot'][1]} s"


def topology(run):
    """kimi_features has the machine's nodes and cores."""
    machine = run.machine
    features = run.outcomes["features"][1]["features"]
    need(features["nodes"] == len(machine.nodes), f"nodes: {features['nodes']}, not {len(machine.nodes)}")
    need(features["cores"] == len(machine.processors), f"cores: {features['cores']}, not {len(machine.processors)}")
    need(features["threads"] == len(machine.processors), f"threads: {features['threads']}, not {len(machine.processors)}")
    isa = "scalar" if machine.cpu == "qemu64" else "avx2"
    need(features["isa"] == isa, f"isa: {features['isa']}, not {isa}")
    words = f"{features['nodes']} nodes, {features['cores']} cores, {isa}"
    if "memory_nodes" in features:
        told = [(node["number"], node["cores"]) for node in features["memory_nodes"]]
        wanted = [(number, len(set(node.processors) & set(machine.processors))) for number, node in enumerate(machine.nodes)]
        need(told == wanted, f"memory_nodes as (number, cores): {told}, not {wanted}")
        for node, real in zip(features["memory_nodes"], machine.nodes):
            # The kernel keeps some for itself.
            share = node["memory_bytes"] / (real.mebibytes * MIB)
            need(0.7 < share <= 1, f"node {node['number']} has {node['memory_bytes']} bytes of {real.mebibytes} MiB")
        words += ", cores by node " + "+".join(str(cores) for _, cores in told)
    return words


def logits(run):
    """Each opening gives the host's logits, bit for bit."""
    count = 0
    for step, told in run.opened():
        wanted = run.host[step.model, step.options.get("tokens", 8)]
        need(told.get("logits") == wanted, f"{step.name}: {told.get('logits', told['status'])}, the host's are {wanted}")
        count += 1
    need(count > 0, "no model opened")
    return f"{count} openings, the same bits as on the host"


def threads(run):
    """Each worker that a core was planned for is bound to that one alone; the caller's thread is as it was."""
    count = 0
    for step, told in run.opened():
        if "affinity" in str(step.options.get("deny")):
            continue
        wanted = step.options.get("threads", len(step.allowed))
        need(len(told["workers"]) == wanted - 1, f"{step.name}: {len(told['workers'])} workers, not {wanted - 1}")
        masks = [numbers(worker["allowed"]) for worker in told["workers"]]
        bound = [mask[0] for mask in masks if len(mask) == 1 and len(step.allowed) > 1]
        need(len(set(bound)) == len(bound), f"{step.name}: two workers on one core: {bound}")
        need(set(bound) <= set(step.allowed), f"{step.name}: bound to {bound}, allowed {step.allowed}")
        cores = usable_cores(run.machine, step)
        need(len(bound) in {min(wanted, count) - 1 for count in cores},
             f"{step.name}: {len(bound)} of {wanted - 1} workers are bound")
        on = set(run.machine.processors)
        rest = [mask for mask in masks if len(mask) != 1]
        need(all(set(mask) & on == set(step.allowed) for mask in rest), f"{step.name}: unbound workers may run on {rest}")
        need(set(numbers(told["caller_after"])) & on == set(numbers(told["caller_allowed"])) & on,
             f"{step.name}: the caller had {told['caller_allowed']} and was left on {told['caller_after']}")
        need(told["info"]["bound_threads"] == len(bound), f"{step.name}: info says bound_threads {told['info']['bound_threads']}")
        count += len(bound)
    return f"{count} workers, each on a core of its own"


def nowhere_else(run):
    """No page lies on another node than the policy of its mapping asks for."""
    bound = 0
    for step, told in run.opened(load=COPY):
        for node, one in asked(told):
            need(sum(one["nodes"]) == one["nodes"][node], f"{step.name}: pages of {one['policy']} lie as {one['nodes']}")
            bound += sum(one["nodes"])
    return f"{bound // MIB} MiB with a node asked for, all there"


def reported(run):
    """What info says of bytes and pages by node, by move_pages, is what numa_maps has of the process at the same moment."""
    bound = loose = 0
    for step, told in run.opened():
        placement = told["info_opened"]["placement"]
        nodes = placement["nodes"]
        denied = str(step.options.get("deny"))
        lies = asked_bytes(told, "memory_opened")
        for node in nodes:
            pages = node["pages"]
            if node["number"] is None or "move_pages" in denied:
                need(not placement["verified"], f"{step.name}: verified, and nothing was asked")
                need(not any(pages.values()), f"{step.name}: nothing was asked about, and pages are {pages}")
        if nodes[0]["number"] is None:
            # The weights lie wherever the kernel put them, among other things; what is mapped is no memory of the process's own.
            need(not any(lies), f"{step.name}: no node was asked for, and mappings have one: {lies}")
            own, told_bytes = sum(private_bytes(told, "memory_opened")), sum(node["bytes"] for node in nodes)
            need(own > 0.95 * told_bytes - MIB, f"{step.name}: {told_bytes} bytes are reported, the kernel has {own} in all")
            loose += told_bytes
            continue
        if "mbind" in denied:
            continue
        need(sum(lies) == sum(lies[node["number"]] for node in nodes), f"{step.name}: {lies} bytes, on nodes that are not reported")
        for node in nodes:
            lie, pages = lies[node["number"]], node["pages"]
            words = f"{step.name}, node {node['number']}"
            if "move_pages" not in denied:
                # Of a large block some pages are asked about. A huge page may come to be between the two counts.
                need(placement["verified"], f"{words}: not verified")
                need(pages["elsewhere"] == 0, f"{words}: {pages['elsewhere']} pages elsewhere")
                need(abs(4096 * pages["here"] - lie) <= 2 * MIB + lie / 100, f"{words}: {pages}, the kernel has {lie} bytes there")
            # Room for experts is touched when they come. The ends of the one or two blocks of weights may be whole pages of 2 MiB.
            if step.options.get("load") in (MAP, COPY):
                need(abs(node["bytes"] - lie) <= 4 * MIB + lie / 100, f"{words}: {node['bytes']} bytes, the kernel has {lie} there")
            bound += lie
    return f"{bound // MIB} MiB on their nodes and {loose // MIB} MiB on none in particular, as reported"


# ---------------------------------------------------------------------------------------------------------------------
# Placement, on machines with several nodes

def nodes(run):
    """Workers are on as many nodes as they may be, and no more."""
    count = 0
    for step, told in run.opened():
        most = step.options.get("nodes")
        if most is None or step.options["threads"] < 2:
            continue
        alone = [numbers(mask) for mask in [*(worker["allowed"] for worker in told["workers"]), *told["caller_seen"]]]
        used = {node_of(run.machine, mask[0]) for mask in alone if len(mask) == 1}
        need(len(used) <= most, f"{step.name}: workers on nodes {sorted(used)}")
        # The caller's own node may go unseen.
        need(len(used) >= most - 1, f"{step.name}: workers on nodes {sorted(used)} only")
        count += 1
    need(count, "no opening was asked for a number of nodes")
    return f"{count} openings with workers on no more nodes than asked for"


def shares(run):
    """The kernel's count of weights by node is what the policy promises, within a twentieth."""
    machine, words = run.machine, []
    count = len(machine.computing)
    even = len({len(processors) for processors in machine.computing}) == 1
    for policy, number in POLICIES.items():
        _, told = run.outcomes[f"pages-{policy}"]
        with_files = asked_bytes(run.outcomes[f"mapped-{policy}"][1])
        lie = [all_own - other for all_own, other in zip(asked_bytes(told), with_files)]
        sizes = told["info"]["bytes"]
        experts, rest = sizes["routed_experts"], sizes["all"] - sizes["routed_experts"]
        each = rest / count + (experts if policy == "replicate" else experts / count)
        for index, node in enumerate(machine.nodes):
            wanted = each if node.processors else 0
            need(not even or abs(lie[index] - wanted) < each / 20 + MIB,
                 f"{policy}: {lie[index]} bytes of weights were placed on node {index}, not {wanted:.0f}")
        need(abs(sum(lie) - each * count) < each * count / 20 + MIB,
             f"{policy}: {sum(lie)} bytes of weights were placed, not {each * count:.0f}")
        words.append(f"{policy} {'+'.join(str(round(lies / MIB)) for lies in lie[:len(machine.nodes)])}")
    return "MiB of weights by node: " + ", ".join(words)


# ---------------------------------------------------------------------------------------------------------------------
# For some

def program(run):
    """The program writes the host's text."""
    need(run.outcomes["program"] == (0, run.host["program"]), f"{run.outcomes['program']}, not {run.host['program']!r}")
    return "the same text as on the host"


def denied(run):
    """Where the kernel refuses, the model works, info says what could not be had, and a warning came."""
    words = []
    for step, told in run.probes():
        calls = step.options.get("deny")
        if not calls:
            continue
        need("info" in told, f"{step.name}: {told['status']}")
        need(warnings(told), f"{step.name}: no warning")
        need("affinity" == calls or "shortfall" in str(told["info"]), f"{step.name}: nothing in info of a shortfall")
        if "affinity" in calls:
            need(told["info"]["bound_threads"] == 0, f"{step.name}: info says bound_threads {told['info']['bound_threads']}")
        words.append(calls)
    return "refused: " + "; ".join(words)


def limits(run):
    """A model too large for its group is refused with words; nothing is killed; a smaller one opens in the same group."""
    told = {step.name: told for step, told in run.probes()}
    too_large = told["too-large"]
    need(too_large["status"] == "KIMI_ERROR_OUT_OF_MEMORY", f"too-large: {too_large['status']}")
    need("cgroup" in too_large["message"], f"the message does not name the cgroup: {too_large['message']}")
    need(run.outcomes["killed"][1] == "oom_kill 0", run.outcomes["killed"][1])
    for name in ("mapped", "streamed", "fits"):
        need(name not in told or "info" in told[name], f"{name}: {told.get(name, {}).get('status')}")
    second = told["second"]["features"]
    need(second["cores"] == 2, f"in a cpuset of 2: {second['cores']} cores")
    lie = private_bytes(told["second-pages"])
    need(lie[0] < MIB, f"in a cpuset of node 1: pages lie as {lie}")
    return too_large["message"]


def huge_pages(run):
    """Pages from the pool where they are asked for; what the pool lacks is said."""
    def huge(name):
        return sum(sum(one["nodes"]) for one in run.outcomes[name][1]["memory"] if one["page_kb"] == 2048)
    need(huge("huge-explicit") > 90 * MIB, f"{huge('huge-explicit')} bytes in huge pages")
    small = run.outcomes["huge-none"][1]
    need(huge("huge-none") == 0 and small["info"]["placement"]["huge_page_bytes"] == 0, "small pages were asked for")
    # What the process has beside weights (100 MiB), caches and work space may lie in such pages: heap, tables, stacks.
    beside = small["transparent_huge_bytes"]
    need(beside < 16 * MIB, f"small pages were asked for, and {beside} bytes are in huge ones")
    need(warnings(run.outcomes["huge-short"][1]), "a pool of 8 pages, and no warning")
    return f"{huge('huge-explicit') // MIB} MiB in pages of 2 MiB"


def checks(machine):
    """The names and functions of a machine's checks."""
    found = [steps, topology, logits, threads, nowhere_else, reported]
    if any("nodes" in step.options for step in machine.steps) and len(machine.computing) > 1:
        found.append(nodes)
    if any(step.name == "pages-slice" for step in machine.steps) and len(machine.computing) > 1:
        found.append(shares)
    found += [{"program": program, "denied": denied, "limits": limits, "huge_pages": huge_pages}[name] for name in machine.checks]
    return found
