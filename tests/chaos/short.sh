#!/bin/sh
# tests/chaos/short.sh - the short run of the chaos driver: seven faults in a fixed order.
exec "${OTTLA_BUILD:-.}/tests/chaos/chaos" --short
