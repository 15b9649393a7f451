"""A loop over the three calls: what the target and the machine allow. Arguments: the target's port, first, count."""

import sys

import calls

port, first, count = map(int, sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + count):
    calls.add_customer(port, number)
    calls.add_to_group(port, number)
    calls.add_comped_order(port, number)
