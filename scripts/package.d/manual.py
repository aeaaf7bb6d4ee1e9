#!/usr/bin/env python3
"""Writes man pages of a program from the definitions of its commands, which the program prints itself: one page for the program,
and one for each of its commands.

    manual.py PROGRAM FOLDER      the pages go to FOLDER, as NAME.1 and NAME-COMMAND.1

SOURCE_DATE_EPOCH is the date that they bear; without it they bear none.
"""

import datetime
import json
import os
import re
import subprocess
import sys


def escaped(text):
    """Text as troff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", r"\\&.", text, flags=re.M)


def paragraphs(text):
    """Paragraphs are divided by empty lines; indented lines stay as they are."""
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        if part.startswith(("    ", "\t")):
            yield ".PP\n.RS 4\n.nf\n" + escaped(part) + "\n.fi\n.RE"
        else:
            yield ".PP\n" + escaped(part.strip())


def spelled(name):
    return ("--" if name["kind"] == "long" else "-") + name["name"]


def value_of(argument):
    return argument.get("valueName", "value")


def usage(argument):
    """One argument in the synopsis."""
    if argument["kind"] == "positional":
        text = f"\\fI{escaped(value_of(argument))}\\fR"
    else:
        text = f"\\fB{escaped(spelled(argument['preferredName']))}\\fR"
        if argument["kind"] == "option":
            text += f" \\fI{escaped(value_of(argument))}\\fR"
    if argument.get("isRepeating"):
        text += " ..."
    return f"[{text}]" if argument.get("isOptional") else text


def described(argument):
    """One argument with its words."""
    if argument["kind"] == "positional":
        head = f"\\fI{escaped(value_of(argument))}\\fR"
    else:
        head = ", ".join(f"\\fB{escaped(spelled(name))}\\fR" for name in argument["names"])
        if argument["kind"] == "option":
            head += f" \\fI{escaped(value_of(argument))}\\fR"
    lines = [".TP", head]
    words = [argument.get("abstract", ""), argument.get("discussion", "")]
    if values := argument.get("allValues"):
        words.append("One of: " + ", ".join(values) + ".")
    if (default := argument.get("defaultValue")) and "(default:" not in words[0]:
        words.append(f"Default: {default}.")
    lines += [escaped(" ".join(" ".join(words).split())) or "\\&"]
    return "\n".join(lines)


def page(command, names, version, commands):
    """The page of a command; `names` are the words with which it is called, `commands` those of all pages."""
    title = "-".join(names)
    date = ""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        date = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%d")
    arguments = [x for x in command.get("arguments", []) if x.get("shouldDisplay", True)]
    subcommands = [x for x in command.get("subcommands", []) if shown(x)]
    abstract = command.get("abstract", "").rstrip(".") or title
    lines = [
        f'.TH "{escaped(title.upper())}" 1 "{date}" "{escaped(version)}" "User Commands"',
        ".SH NAME",
        f"{escaped(title)} \\- {escaped(abstract[:1].lower() + abstract[1:])}",
        ".SH SYNOPSIS",
        ".nh",
        ".ad l",
        " ".join([f"\\fB{escaped(' '.join(names))}\\fR", *(["\\fIcommand\\fR"] if subcommands else [])]
                 + [usage(x) for x in sorted(arguments, key=lambda x: x["kind"] == "positional")]),
        ".ad b",
        ".hy",
    ]
    if discussion := command.get("discussion"):
        lines += [".SH DESCRIPTION", *paragraphs(discussion)]
    if subcommands:
        lines.append(".SH COMMANDS")
        for x in subcommands:
            lines += [".TP", f"\\fB{escaped(x['commandName'])}\\fR", f"{escaped(x.get('abstract', ''))} See"]
            lines += [f".BR {escaped('-'.join([*names, x['commandName']]))} (1)."]
    sections = {}
    for argument in arguments:
        sections.setdefault(argument.get("sectionTitle") or "Options", []).append(argument)
    for section, members in sections.items():
        lines += [f".SH {escaped(section.upper())}", *map(described, members)]
    lines.append(".SH SEE ALSO")
    others = [x for x in commands if x != title and (len(names) == 1 or x == names[0] or x.rsplit("-", 1)[0] == title)]
    lines.append(",\n".join(f".BR {escaped(x)} (1)" for x in others[:40]) or "\\&")
    # A comma belongs to the macro's line.
    text = "\n".join(lines).replace("(1),\n", "(1) ,\n")
    return title, text + "\n"


def shown(command):
    return command.get("shouldDisplay", True) and command["commandName"] != "help"


def walk(command, names):
    yield command, names
    for x in command.get("subcommands", []):
        if shown(x):
            yield from walk(x, [*names, x["commandName"]])


def main():
    program, folder = sys.argv[1:]
    ask = lambda flag: subprocess.run([program, flag], check=True, capture_output=True, text=True).stdout
    root = json.loads(ask("--experimental-dump-help"))["command"]
    version = re.sub(r" \(.*", "", ask("--version").strip())
    os.makedirs(folder, exist_ok=True)
    all_of_them = list(walk(root, [root["commandName"]]))
    titles = ["-".join(names) for _, names in all_of_them]
    for command, names in all_of_them:
        title, text = page(command, names, version, titles)
        with open(os.path.join(folder, f"{title}.1"), "w") as file:
            file.write(text)


main()
