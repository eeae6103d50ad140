#!/usr/bin/env bash
# The page for people in a real browser: what a broker and a controller show of a cluster, on a desk and on a phone,
# light and dark, with names that try to be more than names. OTTLA_SCREENSHOTS=FOLDER: pictures of it, to be looked at.
source "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"

command -v chromium > /dev/null || skip "Chromium is not installed (Debian's package chromium)"
need_java
python=${PYTHON:-python3}
pictures=${OTTLA_SCREENSHOTS:-$work/pictures}
mkdir -p "$pictures"
mkdir -p "$work/home"
export HOME=$work/home # what a browser leaves behind

start_zookeeper
declare -A pages
for node in ottla-controller-101 ottla-1 ottla-2; do pages[$node]=127.0.0.1:$(free_port); done
start_ottla_controller 101 "metrics.listen=${pages[ottla-controller-101]}"
start_ottla 1 "metrics.listen=${pages[ottla-1]}" broker.rack='<i>rack</i>'
start_ottla 2 "metrics.listen=${pages[ottla-2]}" broker.rack=plain
server=(--bootstrap-server "$(address_of ottla-1),$(address_of ottla-2)")

ottla topics "${server[@]}" --create --topic orders --replica-assignment 1:2,2:1,1:2 > /dev/null
for number in $(seq -w 1 40); do echo "many.$number"; done > "$work/names"
while read -r name; do ottla topics "${server[@]}" --create --topic "$name" --replica-assignment 1 > /dev/null; done < "$work/names"
seq 500 | sed 's/.*/&=line/' | ottla produce "${server[@]}" --topic orders --request-required-acks -1 \
    --property parse.key=true --property key.separator== # to all partitions
group='<img src=x onerror=document.title="broken">&"'\'
ottla consume "${server[@]}" --topic orders --group "$group" --from-beginning --max-messages 100 > /dev/null

# ---- the parts, as the page asks for them
cat > "$work/parts.py" << 'END'
import json, sys, time, urllib.error, urllib.request

one, two, controller = sys.argv[1:4]

def get(page, path):
    try:
        answer = urllib.request.urlopen(f"http://{page}/{path}", timeout=20)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read().decode()

def part(page, path, what):
    """Soon the fact holds; whatever keeps it away for a minute is a fault."""
    end, text = time.monotonic() + 60, ""
    while time.monotonic() < end:
        code, _, text = get(page, path)
        if code == 200 and what(json.loads(text)): return
        time.sleep(0.2)
    sys.exit(f"/{path} is not so: {text[:2000]}")

def ensure(fact, what):
    if not fact: sys.exit(what)

part(one, "api/cluster", lambda a: a["role"] == "broker" and len(a["brokers"]) == 2 and a["topics"] == 42 and a["offline"] == 0)
part(one, "api/cluster", lambda a: a["under"] == 0 and a["controller"] == 101)
part(two, "api/cluster", lambda a: a["counters"]["messages_in"] > 0 and a["times"]["Produce"] is not None)
part(one, "api/topics?count=25", lambda a: a["total"] == 42 and len(a["rows"]) == 25)
part(one, "api/topics?count=25&from=25", lambda a: len(a["rows"]) == 17 and a["rows"][-1]["name"] == "orders")
part(one, "api/topics?filter=MANY.0", lambda a: a["total"] == 9)
part(one, "api/topics?only=trouble", lambda a: a["total"] == 0 and a["rows"] == [])
part(one, "api/topics?count=999999999999&from=-7", lambda a: len(a["rows"]) == 42) # not numbers that may be: as if not said
part(one, "api/topics?filter=many.01", lambda a: a["rows"][0]["bytes"] == 0)
part(two, "api/topics?filter=many.01", lambda a: "bytes" not in a["rows"][0]) # it has no replica
part(one, "api/topic?name=orders", lambda a: a["total"] == 3 and sum(r["end"] - r["start"] for r in a["rows"]) == 500)
part(controller, "api/cluster", lambda a: a["role"] == "controller" and a["active"] and all(b["leads"] > 0 for b in a["brokers"]))
part(controller, "api/topics?filter=orders", lambda a: a["rows"] == [{"name": "orders", "partitions": 3, "offline": 0, "under": 0}])
part(controller, "api/topic?name=orders&from=2", lambda a: [(r["partition"], r["leader"], sorted(r["isr"])) for r in a["rows"]] == [(2, 1, [1, 2])])
for page in (one, two, controller):
    for path in ("api/topic", "api/topic?name=none", "api/topic?name=%00", "api/group?name=none", "api/nothing", "api/", "x",
                 "api/topic?name=" + "x" * 2000):
        ensure(get(page, path)[0] == 404, f"{page}/{path} is there")
    code, head, text = get(page, "")
    ensure(head["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-"), "the page has no policy")
    ensure("unsafe" not in head["Content-Security-Policy"], "the policy allows too much")
    ensure(text.replace("http://www.w3.org/2000/svg", "").count("://") == 0, "the page names another host")
coordinators = [page for page in (one, two) if json.loads(get(page, "api/groups")[2])["total"] == 1]
ensure(len(coordinators) == 1, f"{len(coordinators)} brokers tell of the group")
part(coordinators[0], "api/groups", lambda a: 0 < a["rows"][0]["lag"] <= 400 and a["lag"] == a["rows"][0]["lag"] and a["rows"][0]["unknown"] == 0)
print(coordinators[0])
END
controller=${pages[ottla-controller-101]}
coordinator=$("$python" "$work/parts.py" "${pages[ottla-1]}" "${pages[ottla-2]}" "$controller") || fail "$coordinator"
say "parts are right"

# ---- in a browser
browse() { # page, more options…
    local page=$1
    shift
    timeout -k 5 60 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --user-data-dir="$work/chromium-$RANDOM$RANDOM" \
        --enable-logging=stderr --virtual-time-budget=30000 "$@" "http://$page/" 2> "$work/chromium.log"
}
# The page as it is after some looks. A browser's own time may run out while the machine is busy: then once more, and if it
# never gets so far, without a complaint about the page, that says nothing about the page.
look() { # page
    while [[ $SECONDS -lt 200 ]]; do
        browse "$1" --dump-dom > "$work/dom" || continue
        grep -qE 'data-looks="([3-9]|[1-9][0-9]+)"' "$work/dom" && return 0
        ! grep -iE 'CONSOLE.*(error|refused|violat|uncaught)' "$work/chromium.log" || fail "$1: the browser complains"
    done
    skip "the browser did not come so far as to show the page on this machine"
}
shows() { # what, text that the page must have…
    local what=$1 wanted
    shift
    for wanted in "$@"; do grep -qF -- "$wanted" "$work/dom" || fail "$what does not show $wanted: $(grep -n -m1 -A3 "<main>" "$work/dom" | cut -c1-3000)"; done
    ! grep -iE 'CONSOLE.*(error|refused|violat|uncaught)' "$work/chromium.log" || fail "$what: the browser complains"
}
look "$coordinator"
shows "a broker" '<span id="state" class="good">live</span>' 'broker ' '>__consumer_offsets</button>' '>many.01</button>' '1–25 of 42' \
    '&lt;img src=x onerror=document.title="broken"&gt;&amp;"' '&lt;i&gt;rack&lt;/i&gt;' '<path class="one" d="M'
! grep -qE '<img|<i>rack' "$work/dom" || fail "a name became more than a name"
grep -q '<title>Ottla broker ' "$work/dom" || fail "a name has changed the title"
look "$controller"
shows "the controller" 'controller 101' '>orders</button>' '<span class="good">up</span>'
if [[ -n ${OTTLA_SCREENSHOTS:-} ]]; then
    browse "$coordinator" --window-size=1280,1500 --screenshot="$pictures/broker.png" > /dev/null
    browse "$coordinator" --window-size=1280,1500 --screenshot="$pictures/broker-dark.png" --blink-settings=preferredColorScheme=0 > /dev/null
    browse "$coordinator" --window-size=500,2400 --screenshot="$pictures/phone.png" > /dev/null
    browse "$controller" --window-size=1280,1300 --screenshot="$pictures/controller.png" > /dev/null
fi
say "the page shows it"
