#!/bin/sh
# tests/chaos/crowds.sh - the short run of groups whose members come, go, crash and return.
exec "${OTTLA_BUILD:-.}/tests/chaos/crowds" --short
