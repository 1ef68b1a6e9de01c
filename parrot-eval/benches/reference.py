"""Questions per second of `parrot eval` and of the paper's released code on the same checkpoint and the same questions, by turns.

    git clone https://github.com/AIDC-AI/Parrot ../Parrot           # 989d6d0
    pip install torch transformers==4.39.0
    cargo run --release --bin emoji-vqa -- mini-mmmb --out runs/mini-mmmb
    python parrot-eval/benches/reference.py --reference ../Parrot --parrot target/release/parrot \\
        --model assets/golden/t1 --data runs/mini-mmmb/mini_mmmb_{en,ar,tr}.tsv

The reference asks as its wrapper in VLMEvalKit does: one question at a time, greedily, in f32, each picture prepared anew.
`parrot eval` asks its default of eight at a time and, for comparison, one. What counts on both sides is the time of asking, loading
left out. The checkpoint is the small random one of the recorded values: its answers mean nothing, and both give the same ones.
"""

import argparse
import base64
import csv
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file


def questions(parrot, files):
    """Prompts as `parrot eval` asks them, with the pictures."""
    command = [parrot, "eval", "--prompts-only", "--run-as", "collection", "--data", *files]
    prompts = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        line = json.loads(line)
        prompts[line["dataset"], line["index"]] = line["prompt"]
    csv.field_size_limit(1 << 30)
    found = []
    for file in files:
        with open(file, newline="") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
        images = {row["index"]: row["image"] for row in rows}
        for row in rows:
            encoded = row["image"] if len(row["image"]) > 64 else images[row["image"]]
            found.append((prompts[Path(file).stem, row["index"]], base64.b64decode(encoded)))
    return found


class Reference:
    """The wrapper of the kits, without the kits."""

    def __init__(self, root, model):
        sys.path.insert(0, str(root))
        from parrot.model.parrot_arch import ParrotMetaForCausalLM
        from parrot.utils.mm_utils import process_images

        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            # The checkpoint names its vision tower relative to the working folder.
            os.chdir(folder)
            tower = self.write_tower(Path(here) / model)
            shutil.copytree(Path(here) / model, "model")
            # As in the released checkpoints.
            Path("model/tokenizer_config.json").write_text(json.dumps(
                {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}))
            self.model, self.tokenizer, self.formatter = ParrotMetaForCausalLM.build(
                "parrot_qwen2", "model", mm_vision_tower=tower)
            os.chdir(here)
        self.model.eval()
        self.process_images = process_images
        self.processor = self.model.get_vision_tower().image_processor

    @staticmethod
    def write_tower(model):
        """The vision tower in a folder of its own, as the reference wants it, from the checkpoint's weights."""
        name = json.loads((model / "config.json").read_text())["mm_vision_tower"]
        shutil.copytree(model.parent / name, name)
        prefix = "model.vision_tower.vision_tower."
        weights = {}
        for file in model.glob("*.safetensors"):
            weights |= {key.removeprefix(prefix): value for key, value in load_file(file).items() if key.startswith(prefix)}
        save_file(weights, Path(name) / "model.safetensors", metadata={"format": "pt"})
        return name

    def ask(self, prompt, image, tokens):
        image = Image.open(io.BytesIO(image)).convert("RGB")
        settings = argparse.Namespace(image_aspect_ratio="pad")
        pixels = self.process_images([image], self.processor, settings)
        _, ids = self.formatter.format_query("<image>\n" + prompt)
        ids = ids.unsqueeze(0)
        with torch.inference_mode():
            out = self.model.generate(
                ids, images=pixels, do_sample=False, num_beams=1, max_new_tokens=tokens, repetition_penalty=None,
                use_cache=True, eos_token_id=self.tokenizer.eos_token_id, pad_token_id=self.tokenizer.pad_token_id)
        return self.tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def ours(options, batch):
    """Questions per second, and the answers by prompt."""
    with tempfile.TemporaryDirectory() as out:
        command = [options.parrot, "eval", "--data", *options.data, "--model", options.model, "--out", out, "--protocol",
                   "kit-2026-08", "--max-new-tokens", str(options.tokens), "--batch-size", str(batch), "--device", "cpu"]
        subprocess.run(command, capture_output=True, check=True)
        asked = json.loads((Path(out) / "results.json").read_text())["asked"]
        lines = (Path(out) / "answers.jsonl").read_text().splitlines()[1:]
        answers = [json.loads(line)["answer"]["text"] for line in lines]
    return asked["questions_now"] / asked["seconds_now"], answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--parrot", required=True)
    parser.add_argument("--model", default="assets/golden/t1")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int, help="of each side; where others compute as well, one compares best")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    # The same question is asked once here; the reference asks what is left.
    asked = list(dict.fromkeys(questions(options.parrot, options.data)))
    reference = Reference(options.reference, options.model)
    for prompt, image in asked[:5]:
        reference.ask(prompt, image, options.tokens)
    rates = {"reference": [], "one at a time": [], "eight at a time": []}
    for _ in range(options.rounds):
        start = time.perf_counter()
        theirs = [reference.ask(prompt, image, options.tokens) for prompt, image in asked]
        rates["reference"].append(len(asked) / (time.perf_counter() - start))
        for name, batch in [("one at a time", 1), ("eight at a time", 8)]:
            rate, answers = ours(options, batch)
            rates[name].append(rate)
    same = sum(answer in set(theirs) for answer in answers)
    print(f"{len(asked)} questions, {options.tokens} tokens at most; {same} of {len(answers)} answers are among the reference's")
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, rates["reference"]))
        print(f"{name:16} {', '.join(f'{rate:.1f}' for rate in found)} questions/s, {ratio:.2f} times the reference")


if __name__ == "__main__":
    main()
