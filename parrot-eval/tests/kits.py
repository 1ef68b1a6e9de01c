"""Thousands of made-up rows and answers, scored by VLMEvalKit's own functions and by `parrot eval`, and compared.

    pip install pandas openpyxl xlsxwriter
    python parrot-eval/tests/kits.py --fork Parrot/VLMEvalKit --kit VLMEvalKit --parrot target/release/parrot

--fork is the kit inside a checkout of AIDC-AI/Parrot (989d6d0), --kit one of open-compass/VLMEvalKit (e8e78f0). Of both
only the functions that make prompts, read answers and count them are taken, word for word; nothing else of them has to
be installed. A disagreement is printed with its file and ends the run with status 1; those found so far are tests in
`src/report/score.rs`, `src/data/pandas.rs` and beside what they are about.
"""

import argparse
import ast
import json
import math
import os
import os.path as osp
import pickle
import random
import re
import string
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")

# Longer than a reference to another row.
IMAGE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Kit:
    """A kit's own functions, in a namespace with stand-ins for what they need of the rest of it."""

    def __init__(self, root, protocol):
        self.protocol = protocol
        self.is_fork = protocol == "kit-2024-08"
        self.names = dict(
            pd=pd, np=np, re=re, os=os, osp=osp, string=string, defaultdict=defaultdict, json=json,
            cp=__import__("copy"), Counter=__import__("collections").Counter,
            get_logger=lambda *_: Quiet(), logger=Quiet(), track_progress_rich=self.one_by_one,
            dump=self.dump, load=self.load, get_pred_file_format=lambda: "xlsx", timestr=lambda: "kits", rd=random,
            listinstr=lambda parts, text: any(part in text for part in parts), warnings=warnings,
        )
        source = root / "vlmeval"
        self.take(source / "smp/misc.py", ["istype", "cn_string", "toliststr", "d2df", "process_punctuation"])
        self.take(source / "smp/vlm.py", ["build_option_str"])
        self.take(source / "utils/matching_util.py",
                  ["can_infer_option", "can_infer_text", "can_infer", "_VERBOSE_ANSWER_RE"])
        self.take(source / "dataset/utils/multiple_choice.py",
                  ["MMB_abbrs", "report_acc", "build_prompt", "build_prompt_cn", "build_prompt_blink", "build_choices",
                   "prefetch_answer", "extract_answer_from_item", "prefetch_circular_group", "eval_vanilla",
                   "eval_circular_group", "mcq_vanilla_eval", "mcq_circular_eval"])
        self.take(source / "dataset/utils/yorn.py", ["YOrN_Extraction", "POPE_rating"])
        self.take(source / "vlm/parrot.py", ["build_multi_choice_prompt", "built_yorn_prompt"])

    def take(self, file, names):
        for node in ast.walk(ast.parse(file.read_text())):
            is_wanted = isinstance(node, ast.FunctionDef) and node.name in names
            is_wanted |= isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) in names
            if is_wanted:
                exec(compile(ast.Module([node], []), str(file), "exec"), self.names)

    def dump(self, data, file):
        if file.endswith("pkl"):
            Path(file).write_bytes(pickle.dumps(data))
        elif self.is_fork:
            data.to_excel(file, index=False, engine="xlsxwriter")
        else:
            options = {"options": {"strings_to_formulas": False}}
            with pd.ExcelWriter(file, engine="xlsxwriter", engine_kwargs=options) as writer:
                data.to_excel(writer, index=False)

    def load(self, file):
        if file.endswith("pkl"):
            return pickle.loads(Path(file).read_bytes())
        return pd.read_excel(file) if file.endswith("xlsx") else pd.read_csv(file, sep="\t")

    def one_by_one(self, function, tasks, save=None, keys=None, **_):
        results = [function(**task) for task in tasks]
        self.dump(dict(zip(keys, results)), save)
        return results

    def dataset(self, file):
        """As `ImageBaseDataset.__init__` has it."""
        data = self.load(str(file))
        data = data[~pd.isna(data["image"])]
        data["index"] = [str(x) for x in data["index"]]
        data["image"] = [str(x) for x in data["image"]]
        image_map = dict(zip(data["index"], data["image"]))
        for key in image_map:
            if len(image_map[key]) <= 64:
                assert len(image_map[image_map[key]]) > 64
                image_map[key] = image_map[image_map[key]]
        if all(self.names["istype"](x, int) for x in data["index"]):
            data["index"] = [int(x) for x in data["index"]]
        return data.drop(columns="image")

    def prompts(self, meta, name):
        of_line = self.names["build_multi_choice_prompt"]
        return [of_line(None, meta.iloc[at], name) for at in range(len(meta))]

    def evaluate(self, meta, answers, name, folder):
        """As `evaluate` has it, with `exact_matching`: the overall accuracies by split, in percent."""
        table = str(folder / f"{self.protocol}.xlsx")
        rows = [(at, text) for at, index in enumerate(meta["index"]) for text in answers.get(str(index), [])]
        data = meta.iloc[[at for at, _ in rows]].copy()
        data["prediction"] = [text for _, text in rows]
        self.dump(data, table)
        if name == "POPE":
            return self.pope(table, folder)
        circular = "mmbench" in name.lower()
        if circular:
            data = self.load(table)
            data["index"] = [int(x) for x in data["index"]]
            self.dump(data, table)
        data = self.load(table).sort_values(by="index")
        data["prediction"] = [str(x) for x in data["prediction"]]
        for key in data.keys():
            data[key.lower() if key not in list(string.ascii_uppercase) else key] = data.pop(key)
        result = str(folder / f"{self.protocol}.pkl")
        count = self.names["mcq_circular_eval" if circular else "mcq_vanilla_eval"]
        data = count(None, data, meta, 1, result, name)
        self.dump(data, table)
        accuracy = self.names["report_acc"](self.load(table))
        return {str(split): 100 * value for split, value in zip(accuracy["split"], accuracy["Overall"])}

    def pope(self, table, folder):
        data = self.load(table)
        data["prediction"] = [str(x) for x in data["prediction"]]
        read = {k: self.names["YOrN_Extraction"](v) for k, v in zip(data["index"], data["prediction"])}
        data["extracted"] = [read[x] for x in data["index"]]
        data["score"] = data["answer"] == data["extracted"]
        self.dump(data, table)
        rating = self.names["POPE_rating"](table)
        return {"none": rating["Overall"][0]}


class Quiet:
    def __getattr__(self, _):
        return lambda *_, **__: None


WORDS = ["cat", "dog", "a red car", "İstanbul", "ığdır", "ß", "Да", "Нет", "黑色的", "黑色", "نعم", "Yes", "No", "7", "007",
         "7.0", "1e5", "True", "false", "TRUE", "None", "1,000", "=A", "-3", ".5", "٣", "x" * 40]
ANSWERS = ["A", "B", "C", "A.", "(B)", "B because A is wrong", "The answer is B because A is not", "ANSWER İS B, A YOK",
           "the answer ıs C and B", "answer: B", "I think A or B", "cat", "It is a dog", "a cat and a dog", "", "nan",
           "None", "=A", "{=B}", "A\r\nB", "A\n", "B _x0041_", "7", "007", "7.0", "True", "1e5", "Z", "E", "黑色的",
           "Cannot determine the answer", "Failed to obtain answer via API cat", "B " * 9, "x" * 33000 + " A", "B。",
           "\tA", "+A", "A\x01", "yes", "Yes.", "no, it is not", "No", "yes.৫", "yes 1,000"]


def make(random, folder):
    """A file of questions and answers to them, by index."""
    kind = random.choice(["mmmb", "mmmb", "mmbench", "mmbench", "POPE", "MMStar", "ScienceQA"])
    if kind == "POPE":
        name = "POPE"
    elif not kind.startswith("mm"):
        name = f"mini_{kind}"
    else:
        name = f"mini_{kind}_{random.choice(['en', 'tr', 'cn', 'ru', 'TR', 'ar'])}"
    letters = "ABCD"[: random.randint(2, 4)]
    header = ["index", "image", "question", *letters, "answer"] if kind != "POPE" else ["index", "image", "question", "answer"]
    extra = [c for c in ["hint", "category", "l2-category", "split", "g_index"] if random.random() < 0.25]
    if kind == "POPE":
        extra = ["category"]
    named = [random.choice([c, c, c.title()]) if c in ("category", "split", "l2-category") and kind != "POPE" else c for c in extra]
    pools = {letter: random.choice([WORDS, ["7", "007", "7.0"], ["True", "false"], ["1", "2", ""], WORDS[:4]])
             for letter in letters}
    gaps = random.random() < 0.4
    indices = random.sample(range(1, 60), random.randint(1, 8))
    if kind == "mmbench":
        indices += [index + 1_000_000 * k for index in indices for k in range(1, random.randint(1, 3))]
        random.shuffle(indices)
        if gaps and len(indices) > 2:
            indices.pop()
    rows, answers = [], {}
    for number, index in enumerate(indices):
        above = str(rows[-1][0]) if rows and random.random() < 0.2 else IMAGE
        picture = "" if gaps and random.random() < 0.1 else above
        if rows and picture == above and above != IMAGE and not rows[-1][1]:
            picture = IMAGE
        cells = [index, picture, random.choice(["What is it?", "Nedir?", "这是什么？", "q"])]
        if kind == "POPE":
            cells.append(random.choice(["Yes", "No"]))
        else:
            cells += [random.choice(pools[letter]) for letter in letters]
            cells.append(random.choice(letters))
        for column in extra:
            value = {"hint": "Look.", "category": random.choice(["x", "y"]), "l2-category": "z", "split": "dev",
                     "g_index": index % 1_000_000}[column]
            cells.append("" if gaps and kind != "POPE" and random.random() < 0.2 else value)
        rows.append(cells)
        if picture and random.random() < 0.9:
            texts = [random.choice(ANSWERS)]
            if gaps and random.random() < 0.08:
                texts.append(random.choice(ANSWERS))
            answers[str(index)] = texts
    file = folder / f"{name}.tsv"
    pd.DataFrame(rows, columns=header + named).to_csv(file, sep="\t", index=False)
    with open(folder / "answers.jsonl", "w") as lines:
        for index, texts in answers.items():
            for text in texts:
                lines.write(json.dumps({"index": int(index), "prediction": text}) + "\n")
    return file, answers


def ours(parrot, file, folder):
    command = [parrot, "eval", "--data", str(file), "--json", "--score", str(folder / "answers.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr
    return {result["protocol"]: result for result in json.loads(done.stdout)["results"]}, done.stderr


def our_prompts(parrot, file):
    done = subprocess.run([parrot, "eval", "--data", str(file), "--prompts-only"], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(line["run_as"], line["index"]): line["prompt"] for line in lines}


def compare(kit, file, answers, results, folder):
    """Nothing where both agree, else what each says; and whether we said a number."""
    try:
        with np.errstate(all="ignore"):
            printed = kit.evaluate(kit.dataset(file), answers, file.stem, folder)
    except Exception as error:  # noqa: BLE001 - however a kit fails, it prints nothing
        printed = f"{type(error).__name__}: {error}"
    result = results[kit.protocol]
    said = result.get("kit_unknown")
    if isinstance(printed, str) or not printed or all(math.isnan(value) for value in printed.values()):
        return (None if said else (f"the kit prints nothing ({printed})", f"{result.get('as_kit')}")), False
    if said:
        is_race = "race" in said or "different answers" in said
        return (None if is_race else (printed, f"cannot be said: {said}")), False
    scores = result.get("as_kit") or result["scores"]
    values = [value for value in printed.values() if not math.isnan(value)]
    return (None if len(values) == 1 and abs(values[0] - scores[0]["value"]) < 1e-6 else (printed, scores[0])), True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fork", type=Path, required=True)
    parser.add_argument("--kit", type=Path, required=True)
    parser.add_argument("--parrot", required=True)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where files of disagreements go")
    options = parser.parse_args()
    kits = [Kit(options.fork, "kit-2024-08"), Kit(options.kit, "kit-2026-08")]
    rows = numbers = prompts = wrong = 0
    for number in range(options.seed, options.seed + options.rounds):
        chance = random.Random(number)
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            file, answers = make(chance, folder)
            if not answers:
                continue
            results, said = ours(options.parrot, file, folder)
            rows += len(answers)
            found = []
            for kit in kits:
                if results is None:
                    found.append((kit.protocol, "", said))
                    break
                difference, is_number = compare(kit, file, answers, results, folder)
                numbers += is_number
                if difference:
                    found.append((kit.protocol, *difference))
            if file.stem != "POPE":
                of_row = our_prompts(options.parrot, file)
                meta = kits[0].dataset(file)
                for run_as, name in [("dataset", file.stem), ("collection", "MMMB")]:
                    for index, prompt in zip(meta["index"], kits[0].prompts(meta, name)):
                        prompts += 1
                        if of_row.get((run_as, str(index))) != prompt:
                            found.append((f"prompt of {index} as {name}", prompt, of_row.get((run_as, str(index)))))
            for what, kits_words, our_words in found:
                wrong += 1
                print(f"seed {number}, {file.name}, {what}:\n  kit  {kits_words}\n  ours {our_words}")
            if found and options.keep:
                keep = options.keep / str(number)
                keep.mkdir(parents=True, exist_ok=True)
                for path in [file, folder / "answers.jsonl"]:
                    (keep / path.name).write_bytes(path.read_bytes())
    print(f"{rows} answers, {numbers} numbers and {prompts} prompts compared; {wrong} disagreements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
