"""What the house tests share: where rooms are, which files are pure, what objects hold."""
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(os.environ.get("OTTLA_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("OTTLA_BUILD", "."))

# A room and how high it lies. Includes run down; rooms of equal height do not know each other.
ROOMS = {
    "common/base": 0,
    "common/wire": 1,
    "common/runtime": 2,
    "common/zk": 3,
    "common/cluster": 4,
    "common/client": 5,
    "common/program": 5,
    "broker/log": 6,
    "broker/replica": 7,
    "broker/group": 8,
    "broker/txn": 8,
    "broker/messages.h": 8.5,
    "broker/api": 9,
    "broker": 10,
    "controller": 10,
    "tools": 11,
}

# Pure: no I/O, no clock, no luck, no log, no memory but their own state.
PURE = """
common/zk/paths common/zk/docs common/zk/doc_json
common/cluster/
broker/log/check broker/log/scan broker/log/producers broker/log/epochs broker/log/policy
broker/replica/partition broker/replica/isr broker/replica/sessions broker/replica/purgatory
broker/replica/fetcher broker/replica/move
broker/group/group broker/group/offsets broker/group/group_log
broker/txn/txn broker/txn/markers broker/txn/txn_log
controller/context controller/election controller/partition_machine controller/replica_machine
controller/topics controller/reassign controller/detector controller/outbox
controller/ids controller/task controller/documents controller/alter controller/brokers
controller/deletion controller/elect controller/takeover
""".split()


def room_of(path):
    """The room of a path relative to the source: the longest name that fits, or None. What the shards
    of a broker say to each other lies beside its folder and below the rooms that say it."""
    folder = path if path in ROOMS else os.path.dirname(path)
    fits = [r for r in ROOMS if folder == r or folder.startswith(r + "/")]
    return max(fits, key=len) if fits else None


def sources(*suffixes):
    """Paths of the rooms' files, relative to the source, in order."""
    for top in sorted({room.split("/")[0] for room in ROOMS}):
        for path in sorted((SOURCE / top).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield str(path.relative_to(SOURCE))


def object_of(source):
    """The object that was built from a source, or None."""
    path = BUILD / source
    for name in sorted(path.parent.glob("*" + path.stem + ".o")) if path.parent.is_dir() else []:
        if name.stem == path.stem or name.stem.endswith("-" + path.stem):
            return name
    return None


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def undefined(obj):
    """Symbols that an object wants from elsewhere."""
    return sorted({line.split()[-1] for line in run("nm", "-u", str(obj)).splitlines() if line})


def defined(obj):
    """Global symbols that an object gives."""
    lines = run("nm", "-g", "--defined-only", str(obj)).splitlines()
    return {line.split()[-1] for line in lines if len(line.split()) == 3}


def is_of_compiler(symbol):
    """What the compiler, its sanitizers and the linker bring along."""
    return symbol.startswith(("__asan_", "__ubsan_", "__tsan_", "__sanitizer_", "__gcov", "__llvm",
                              "__odr_asan", "__stack_chk", "__sancov", "__start_", "__stop_",
                              "_GLOBAL_OFFSET_TABLE_", "__popcount", "__udivti3", "__umodti3"))


def plain(symbol):
    """Without the version of the library, and without the 64-bit mark of file calls."""
    name = symbol.split("@")[0]
    for prefix, suffix in (("__isoc23_", ""), ("__isoc99_", ""), ("__", "_chk")):
        if name.startswith(prefix) and name.endswith(suffix):
            name = name[len(prefix):len(name) - len(suffix) or None]
    return name[:-2] if name.endswith("64") and name[:-2] in ("open", "pread", "pwrite", "fopen",
                                                               "lseek", "fstat", "stat") else name


def finish(faults, checked, what):
    """Prints the faults, says what was looked at; the exit status of the test."""
    for fault in faults:
        print(fault)
    if checked == 0:
        print("nothing to look at: is OTTLA_BUILD the folder of the build?")
        sys.exit(1)
    print(f"{checked} {what}, {len(faults)} faults")
    sys.exit(1 if faults else 0)
