"""The Python SDK's side of `make bench`: from the start of a process to a decoded metagraph.

    metagraph.py ws://127.0.0.1:PORT NETUID

Prints what `adit metagraph --json` prints, as far as both are compared. It asks for `get_metagraph_info`, the SDK's
leanest way: one runtime call, where `metagraph()` makes five requests and fills tensors.
"""

import json
import os
import sys

import bittensor

subtensor = bittensor.Subtensor(network=sys.argv[1])
metagraph = subtensor.get_metagraph_info(int(sys.argv[2]))
neurons = [
    {"uid": uid, "hotkey": hotkey, "stake": stake.tao}
    for uid, (hotkey, stake) in enumerate(zip(metagraph.hotkeys, metagraph.total_stake, strict=True))
]
print(json.dumps({"netuid": metagraph.netuid, "block": metagraph.block, "neurons": neurons}), flush=True)
# Taking the interpreter down again costs more than a second; nothing that was asked for is left to do.
os._exit(0)
