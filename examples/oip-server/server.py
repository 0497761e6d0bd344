"""Serves ONNX models over the Open Inference Protocol, REST and gRPC, with KServe's own server.

    python server.py --model spotter=../models/spotter --model detector=../models/detector

Each folder holds a `model.onnx`. What arrives is the model's input, ready for it; what goes back are its outputs as
they are: whoever asks has the `model.toml` and does the rest. So a miner's answers are those of the same model in its
own process. Needs the wheels of scripts/requirements-oip.txt.

KServe listens on every address of the host, and asks nobody for a password: keep the ports inside a network of your
own.
"""

import argparse
import asyncio
from pathlib import Path

import onnxruntime
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput
from kserve.model_server import args as defaults

# ONNX Runtime's names of the types that a model of Adit's may have, and the protocol's.
DATATYPES = {"tensor(float)": "FP32", "tensor(uint8)": "UINT8"}

# A window of frames in 32-bit floats is many times KServe's 8 MiB.
LARGEST_MESSAGE = 256 << 20

# Seconds that requests under way get when the server is told to stop.
GRACE = 5

# KServe makes a list of Python's floats of the bytes that arrive over REST, which takes seconds for a window of frames.
# They are kept as they came, and `as_numpy` reads them.
InferInput.set_data_from_numpy = lambda self, tensor, binary_data=True: None


class OnnxModel(Model):
    def __init__(self, name, file, providers, threads):
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        self.inputs = {port.name: port for port in self.session.get_inputs()}
        self.ready = True

    def get_input_types(self):
        return [describe(port) for port in self.session.get_inputs()]

    def get_output_types(self):
        return [describe(port) for port in self.session.get_outputs()]

    async def predict(self, payload, headers=None):
        if not isinstance(payload, InferRequest):
            raise InvalidInput("%s speaks version 2 of the protocol only" % self.name)
        feed = {tensor.name: self.read(tensor) for tensor in payload.inputs}
        missing = self.inputs.keys() - feed.keys()
        if missing:
            raise InvalidInput("%s needs the input %s" % (self.name, ", ".join(sorted(missing))))
        # In a thread, so that whoever asks for the server's health meanwhile is answered.
        try:
            results = await asyncio.to_thread(self.session.run, None, feed)
        except Exception as error:  # ONNX Runtime's own classes have no common base
            raise InvalidInput("%s: %s" % (self.name, error)) from error
        outputs = []
        for port, result in zip(self.session.get_outputs(), results):
            output = InferOutput(port.name, list(result.shape), DATATYPES[port.type])
            output.set_data_from_numpy(result, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            payload.id or "",
            self.name,
            outputs,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def read(self, tensor):
        port = self.inputs.get(tensor.name)
        if port is None:
            raise InvalidInput("%s has no input %s, but %s" % (self.name, tensor.name, ", ".join(self.inputs)))
        if tensor.datatype != DATATYPES[port.type]:
            wanted = DATATYPES[port.type]
            raise InvalidInput("%s is %s, and %s wants %s" % (tensor.name, tensor.datatype, self.name, wanted))
        try:
            return tensor.as_numpy()
        except ValueError as error:
            raise InvalidInput("%s: %s" % (tensor.name, error)) from error


def describe(port):
    if port.type not in DATATYPES:
        raise SystemExit("%s is %s; only 32-bit floats and bytes are served" % (port.name, port.type))
    shape = [size if isinstance(size, int) else -1 for size in port.shape]
    return {"name": port.name, "datatype": DATATYPES[port.type], "shape": shape}


def model(text):
    name, _, folder = text.partition("=")
    file = Path(folder) / "model.onnx"
    if not name or not file.is_file():
        raise argparse.ArgumentTypeError("%r is not NAME=FOLDER with a folder that holds a model.onnx" % text)
    return name, file


def main():
    parser = argparse.ArgumentParser(description="Serves ONNX models over the Open Inference Protocol.")
    parser.add_argument("--model", metavar="NAME=FOLDER", type=model, action="append", required=True, help="repeatable")
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--providers", default="CPUExecutionProvider", help="ONNX Runtime's, separated by commas")
    parser.add_argument("--threads", type=int, default=0, help="of one run; 0: one a core")
    args = parser.parse_args()

    defaults.grpc_max_send_message_length = defaults.grpc_max_receive_message_length = LARGEST_MESSAGE
    models = [OnnxModel(name, file, args.providers.split(","), args.threads) for name, file in args.model]
    for served in models:
        print(served.name, *served.get_input_types(), "->", *served.get_output_types(), flush=True)
    server = ModelServer(
        http_port=args.http_port, grpc_port=args.grpc_port, enable_latency_logging=False, grace_period=GRACE
    )
    server.start(models)


if __name__ == "__main__":
    main()
