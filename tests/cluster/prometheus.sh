#!/usr/bin/env bash
# A real Prometheus scrapes brokers and a controller: what it is told is well formed and right, rules and dashboard name
# only what is there, every panel of the dashboard has something to show, and alerts fire as they should.
source "$(dirname "${BASH_SOURCE[0]}")/../interop/lib.sh"

command -v promtool > /dev/null && command -v prometheus > /dev/null ||
    skip "Prometheus is not installed (Debian's package prometheus)"
need_java
python=${PYTHON:-python3}
rules=$root/etc/prometheus/ottla.rules.yml
dashboard=$root/etc/grafana/ottla.json

promtool check rules "$rules" > "$work/rules.out" 2>&1 || fail "rules: $(cat "$work/rules.out")"
promtool test rules "${rules%.yml}.test.yml" > "$work/rules.out" 2>&1 || fail "alerts: $(cat "$work/rules.out")"
say "rules are right, alerts fire"

start_zookeeper
declare -A pages
for node in ottla-controller-101 ottla-1 ottla-2; do pages[$node]=127.0.0.1:$(free_port); done
start_ottla_controller 101 "metrics.listen=${pages[ottla-controller-101]}"
start_ottla 1 "metrics.listen=${pages[ottla-1]}"
start_ottla 2 "metrics.listen=${pages[ottla-2]}"
server=(--bootstrap-server "$(address_of ottla-1),$(address_of ottla-2)")

# Two partitions, each led by one broker and followed by the other; a group that has read a part.
ottla topics "${server[@]}" --create --topic watched --replica-assignment 1:2,2:1 > /dev/null
seq 200 | sed 's/.*/&=line/' | ottla produce "${server[@]}" --topic watched --request-required-acks -1 \
    --property parse.key=true --property key.separator== # to both partitions
ottla consume "${server[@]}" --topic watched --group 'a "group"' --from-beginning --max-messages 120 > /dev/null

# ---- Prometheus
prometheus_port=$(free_port)
cat > "$work/prometheus.yml" << END
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}
rule_files: ["$rules"]
scrape_configs:
  - job_name: ottla
    static_configs: [{targets: ["${pages[ottla-controller-101]}", "${pages[ottla-1]}", "${pages[ottla-2]}"]}]
END
promtool check config "$work/prometheus.yml" > "$work/config.out" 2>&1 || fail "configuration: $(cat "$work/config.out")"
mkdir -p "$work/prometheus"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus/data" --log.level=warn \
    --web.listen-address="127.0.0.1:$prometheus_port" > "$work/prometheus/log" 2>&1 < /dev/null 7>&- 8>&- 9>&- &
echo $! > "$work/prometheus/pid"
disown

cat > "$work/look.py" << 'END'
import json, re, sys, time, urllib.parse, urllib.request

def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()

def prometheus(path, **arguments):
    return json.loads(get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"))["data"]

def ask(expr):
    return {tuple(sorted(r["metric"].items())): float(r["value"][1]) for r in prometheus("query", query=expr)["result"]}

def until(what, seen):
    """Waits for a fact; whatever keeps it away for two minutes is a fault."""
    end, last = time.monotonic() + 120, None
    while time.monotonic() < end:
        try:
            last = seen()
            if last: return last
        except OSError as error:
            last = error
        time.sleep(0.2)
    sys.exit(f"never: {what}: {last}")

port, rules, dashboard = sys.argv[1], sys.argv[2], sys.argv[3]
until("all three are scraped", lambda: len(ask("up == 1")) == 3)

# Names in rules and dashboard; those that come from functions and labels are no names of ours.
texts = [m for m in re.findall(r"expr: *>?\s*(.*?)\n *(?:for|labels|-|$)", open(rules).read(), re.S)]
for panel in json.load(open(dashboard))["panels"]:
    texts += [t["expr"] for t in panel.get("targets", [])]
names = {n for t in texts for n in re.findall(r"\b(?:kafka|ottla|process)_[a-z_0-9]+", t)}
if len(names) < 30: sys.exit(f"only {len(names)} names were found: {sorted(names)}")
def missing():
    return names - set(prometheus("label/__name__/values"))
until("every name in rules and dashboard is told", lambda: not missing() or None)

# Every panel of the dashboard has something to show, and so has every list to choose from.
def without_variables(expr):
    return expr.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$topic", ".*")
board = json.load(open(dashboard))
queries = [(p["title"], without_variables(t["expr"])) for p in board["panels"] for t in p.get("targets", [])]
queries += [(v["name"], re.sub(r"label_values\((.*), \w+\)", r"\1", v["query"]["query"])) for v in board["templating"]["list"] if v["type"] == "query"]
if len(queries) < 35 or any("$" in q for _, q in queries): sys.exit(f"the dashboard's queries are not understood: {queries}")
for title, query in queries:
    until(f"the panel {title} shows something: {query}", lambda: ask(query))

# Every rule and every alert has been evaluated here, none with an error (two series that do not fit each other, say).
def evaluated():
    found = [r for g in prometheus("rules")["groups"] for r in g["rules"]]
    wrong = [(r["name"], r.get("lastError")) for r in found if r["health"] == "err"]
    if wrong: sys.exit(f"rules that cannot be evaluated: {wrong}")
    return len(found) >= 10 and all(r["health"] == "ok" for r in found)
until("every rule is evaluated", evaluated)

# What is told is so: 200 records in two partitions, of which a group has read 120.
def value(expr): return sum(ask(expr).values())
until("offsets", lambda: value('sum(kafka_topic_partition_current_offset{topic="watched"})') == 200)
until("each partition once", lambda: value('count(kafka_topic_partition_current_offset{topic="watched"})') == 2)
until("the topic once", lambda: ask('kafka_topic_partitions{topic="watched"}') and value('kafka_topic_partitions{topic="watched"}') == 2)
until("replicas", lambda: value('sum(kafka_topic_partition_in_sync_replica{topic="watched"})') == 4)
until("preferred", lambda: value('sum(kafka_topic_partition_leader_is_preferred{topic="watched"})') == 2)
until("records by topic", lambda: value('sum(kafka_server_brokertopicmetrics_messagesin_total{topic="watched"})') == 200)
until("sizes", lambda: value('count(kafka_log_log_size{topic="watched"} > 0)') == 4)
group = 'consumergroup="a \\"group\\"",topic="watched"'
until("commits", lambda: value(f'sum(kafka_consumergroup_current_offset{{{group}}})') == 120)
until("lag", lambda: value(f'sum(kafka_consumergroup_lag{{{group}}})') == 80)
until("its sum", lambda: value(f'kafka_consumergroup_lag_sum{{{group}}}') == 80)
until("lag by the rule", lambda: value(f'sum(ottla:consumergroup_lag{{{group}}})') == 80)
until("one controller", lambda: value('sum(kafka_controller_kafkacontroller_activecontrollercount)') == 1)
until("brokers", lambda: value('max(kafka_brokers)') == 2)
until("produce requests", lambda: value('sum(kafka_network_requestmetrics_totaltimems_count{request="Produce"})') > 0)
until("… have waited for replicas", lambda: value('sum(kafka_network_requestmetrics_remotetimems_sum{request="Produce"})') > 0)
slow = {"OttlaProcessDown", "OttlaProduceSlow", "OttlaRequestsQueue", "OttlaShardsBusy"} # of a machine that is busy otherwise
alerts = {a["labels"]["alertname"] for a in prometheus("alerts")["alerts"] if a["state"] == "firing"} - slow
if alerts: sys.exit(f"without need there are alerts: {alerts}")
print(f"{len(queries)} queries of the dashboard have data; {len(names)} names, {len(prometheus('label/__name__/values'))} told")
END
said=$("$python" "$work/look.py" "$prometheus_port" "$rules" "$dashboard") || fail "Prometheus: $said $(tail -n 3 "$work/prometheus/log")"
say "Prometheus has seen it: $said"

# ---- promtool's opinion of each page. Kafka's names are Kafka's: units and endings are not ours to mend.
for node in "${!pages[@]}"; do
    "$python" -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' \
        "http://${pages[$node]}/metrics" > "$work/$node.metrics"
    code=0
    promtool check metrics < "$work/$node.metrics" > "$work/lint" 2>&1 || code=$?
    [[ $code == 0 || $code == 3 ]] || fail "$node: /metrics is not well formed: $(head -n 3 "$work/lint")"
    ! grep -v '^kafka_' "$work/lint" | grep . || fail "$node: promtool complains of names that are ours to choose"
done
say "promtool finds the pages well formed"
