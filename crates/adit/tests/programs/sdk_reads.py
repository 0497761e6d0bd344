"""What Bittensor's SDK reads of a hotkey on subnet 44: sdk_reads.py URL HOTKEY. Prints one line of JSON."""

import json
import sys

import bittensor

url, hotkey = sys.argv[1:]
chain = bittensor.Subtensor(network=url)
neurons = chain.neurons_lite(netuid=44)
(neuron,) = [neuron for neuron in neurons if neuron.hotkey == hotkey]
print(
    json.dumps(
        {
            "uid": chain.get_uid_for_hotkey_on_subnet(hotkey_ss58=hotkey, netuid=44),
            "coldkey": neuron.coldkey,
            "axon": {"ip": neuron.axon_info.ip, "port": neuron.axon_info.port},
            "commitment": chain.get_all_commitments(netuid=44)[hotkey],
            "balance_rao": chain.get_balance(neuron.coldkey).rao,
            "neurons": [[neuron.uid, neuron.hotkey, neuron.coldkey] for neuron in neurons],
        }
    )
)
