#!/usr/bin/env bash
# The dashboard against the schema that Grafana publishes: the types of @grafana/schema, which its own frontend is built on.
# Each panel has to be a panel, with the options of its kind; and a dashboard with a mistake has to be refused.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v node > /dev/null && command -v npm > /dev/null || skip "node and npm are not installed"
python=${PYTHON:-python3}

bring_packages() {
    [[ ! -d $cache/grafana ]] || return 0
    rm -rf "$cache/grafana.new"
    mkdir -p "$cache/grafana.new"
    timeout 60 npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/grafana.new" \
        @grafana/schema@11.6.16 typescript@5.9.3 > "$cache/npm-grafana.log" 2>&1 && mv "$cache/grafana.new" "$cache/grafana"
}
locked bring_packages || skip "@grafana/schema cannot be had here (see $cache/npm-grafana.log)"

cat > "$work/check.py" << 'END'
import json, pathlib, re, subprocess, sys

packages, work, dashboard = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), json.load(open(sys.argv[3]))
schema, types = packages / "node_modules/@grafana/schema/dist/esm", work / "types"

def union(match):
    """In JSON a member of an enum stands as its value."""
    values = re.findall(r'= *("[^"]*"|-?[0-9.]+)', match[2])
    return f"export type {match[1]} = {' | '.join(values)};"

if not types.is_dir():
    for file in schema.rglob("*.d.ts"):
        place = file.relative_to(schema)
        text = re.sub(r"export declare enum (\w+) \{(.*?)\n\}", union, file.read_text(), flags=re.S)
        text = text.replace("'@grafana/schema'", f"'{'../' * (len(place.parts) - 1)}index'")
        (types / place).parent.mkdir(parents=True, exist_ok=True)
        (types / place).write_text(text)

lines = ["import {Dashboard, Panel, RowPanel} from './types/raw/dashboard/x/dashboard_types.gen';",
         "import * as stat from './types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';",
         "import * as timeseries from './types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';"]

def is_a(kind, value):
    lines.append(f"export const v{len(lines)}: {kind} = {json.dumps(value, indent=1)};")

panels = dashboard.pop("panels")
is_a("Dashboard", dashboard)
for panel in panels:
    if panel["type"] == "row":
        is_a("RowPanel", panel)
        continue
    is_a("Panel", panel)
    is_a(f"Partial<{panel['type']}.Options>", panel.get("options", {}))
    custom = panel["fieldConfig"]["defaults"].get("custom")
    if custom is not None: is_a(f"{panel['type']}.FieldConfig", custom)
(work / "dashboard.ts").write_text("\n".join(lines))
code = subprocess.call(["node", packages / "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2020",
                        "--moduleResolution", "node", work / "dashboard.ts"])
if code == 0: print(f"{len(panels)} panels")
sys.exit(code)
END
check() { "$python" "$work/check.py" "$cache/grafana" "$work" "$1"; }

dashboard=$root/etc/grafana/ottla.json
said=$(check "$dashboard") || fail "not what Grafana's schema says: $said"
say "$said are what Grafana's schema says"

# ---- does it see mistakes?
refuses() { # what, sed expression
    sed "$2" "$dashboard" > "$work/wrong.json"
    ! cmp -s "$dashboard" "$work/wrong.json" || fail "$1: the dashboard has none"
    ! check "$work/wrong.json" > "$work/said" || fail "$1 was not seen"
}
refuses "a mode that there is not" 's/"graphMode": *"area"/"graphMode": "aera"/'
refuses "a position that is none" 's/"gridPos"/"gridpos"/'
refuses "a field that is unknown" 's/"templating"/"template"/'
say "and mistakes are seen"
