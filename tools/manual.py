#!/usr/bin/env python3
"""Manual pages and bash completion, from what the programs print with --help.

    manual.py OUT VERSION ottla ottla-broker ottla-controller kafka-server-start.sh…     paths of programs

The option tables in the code say what there is; --help prints them; this reads that. Nothing is written twice.
"""
import os
import pathlib
import re
import subprocess
import sys

OPTION = re.compile(r"^  --([a-z][a-z0-9.-]*)(\[=\S+\]| [^\s].*?)?(?:\s{2,}(\S.*))?$")
COMMAND = re.compile(r"^  ([a-z-]+) +(\S.*) \(as (kafka-[a-z-]+)\)$")


class Page:
    """One command: --help, understood."""

    def __init__(self, argv, name):
        run = subprocess.run([*argv, "--help"], capture_output=True, text=True, check=True)
        lines = run.stdout.splitlines()
        self.name = name
        _, _, self.summary = lines[0].partition(" - ")
        self.usage = next(line[len("usage: "):] for line in lines if line.startswith("usage: "))
        self.options, self.commands, self.more = [], [], []
        if not self.summary:
            sys.exit(f"{name} --help does not begin with its name and what it is for")
        for line in lines[lines.index("usage: " + self.usage) + 1:]:
            if match := COMMAND.match(line):
                self.commands.append(match.groups())
            elif match := OPTION.match(line):
                value = (match[2] or "").strip()
                self.options.append([match[1], value, match[3] or ""])
            elif line.startswith("      ") and self.options and not self.more:
                self.options[-1][2] = (self.options[-1][2] + " " + line.strip()).strip()
            elif line or self.more:
                self.more.append(line)
        if not self.options and not self.commands:
            sys.exit(f"{name} --help has no options")
        for option, _, text in self.options:
            if not text:
                sys.exit(f"{name} --help does not say what --{option} is for")


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def title(page):
    return page.name.replace(" ", "-")


def write_page(page, section, version, also, out):
    head = "Ottla's tools" if section == 1 else "Ottla's servers"
    lines = [f'.TH {title(page).upper()} {section} "" "ottla {version}" "{head}"',
             ".ad l", ".SH NAME", f"{roff(title(page))} \\- {roff(page.summary)}", ".SH SYNOPSIS", ".nf", roff(page.usage), ".fi"]
    if page.commands:
        lines.append(".SH COMMANDS")
        for name, summary, script in page.commands:
            lines += [".TP", f"\\fB{roff(name)}\\fR", f"{roff(summary)}; the same as \\fB{roff(script)}\\fR(.sh). "
                      f"See \\fBottla\\-{roff(name)}\\fR(1)."]
    if page.options:
        lines.append(".SH OPTIONS")
        for name, value, text in page.options:
            shown = f"\\fB\\-\\-{roff(name)}\\fR"
            if value.startswith("["):
                shown += f"[=\\fI{roff(value[2:-1])}\\fR]"
            elif value:
                shown += f" \\fI{roff(value)}\\fR"
            lines += [".TP", shown, roff(text)]
    if any(page.more):
        lines.append(".SH NOTES")
        lines += [roff(line) if line else ".PP" for line in page.more]
    lines.append(".SH EXIT STATUS")
    if section == 1 or page.name.endswith(".sh"):
        lines.append("0: success. 1: a wrong option, or it could not be done; a line says why.")
    else:
        lines.append("0: an orderly end. 1: a configuration that cannot be, or a failure; a line says why. 2: a wrong option.")
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{roff(name)}\\fR({number})" for name, number in also if name != title(page))]
    (out / f"{title(page)}.{section}").write_text("\n".join(lines) + "\n")


def bare_names(servers):
    return [page.name.removesuffix(".sh") for page in servers if page.name.endswith(".sh")]


def write_alias(name, page, section, out):
    (out / f"{name}.{section}").write_text(f".so man{section}/{page}.{section}\n")


def write_completion(pages, commands, servers, out):
    lines = ["# bash completion for ottla, Kafka's names of its commands, and the servers.", "_ottla()", "{",
             "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[0]##*/}",
             "    local options files= commands=", "    command=${command%.sh}", "    case $command in", "        ottla)",
             "            command=${COMP_WORDS[1]}",
             "            [[ $COMP_CWORD -gt 1 ]] || commands='" + " ".join(name for name, _, _ in commands) + " --help --version'",
             "            ;;"]
    lines += [f"        {script}) command={name} ;;" for name, _, script in commands]
    lines += ["    esac", "    if [[ -n $commands ]]; then",
              '        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")', "        return", "    fi",
              "    case $command in"]
    for page in pages:
        key = page.name.removeprefix("ottla ").removesuffix(".sh")
        names = " ".join("--" + option for option, _, _ in page.options)
        of_files = "|".join("--" + option for option, value, _ in page.options if "FILE" in value)
        lines += [f"        {key})", f"            options='{names}'"]
        if of_files:
            lines.append(f"            [[ $before != @({of_files}) ]] || files=yes")
        if page in servers:
            lines.append("            [[ $word == -* ]] || files=yes")
        lines.append("            ;;")
    lines += ["        *) return ;;", "    esac", "    if [[ -n $files ]]; then",
              '        mapfile -t COMPREPLY < <(compgen -f -- "$word")', "    else",
              '        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")', "    fi", "}"]
    names = [script for _, _, script in commands]
    all_names = ["ottla", *(page.name for page in servers), *bare_names(servers), *names, *(name + ".sh" for name in names)]
    lines.append("complete -F _ottla " + " ".join(all_names))
    (out / "ottla.bash").write_text("\n".join(lines) + "\n")
    (out / "ottla.bash.names").write_text("\n".join(all_names) + "\n")


def main():
    out, version, ottla, *server_paths = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    whole = Page([ottla], "ottla")
    tools = [Page([ottla, name], f"ottla {name}") for name, _, _ in whole.commands]
    servers = [Page([path], os.path.basename(path)) for path in server_paths]
    also = [("ottla", 1), *((title(page), 1) for page in tools), *((title(page), 8) for page in servers)]
    for page in (whole, *tools):
        write_page(page, 1, version, also, out)
    for page in servers:
        write_page(page, 8, version, also, out)
    for name, _, script in whole.commands:
        for alias in (script, script + ".sh"):
            write_alias(alias, f"ottla-{name}", 1, out)
    for name in bare_names(servers):
        write_alias(name, name + ".sh", 8, out)
    write_completion([*tools, *servers], whole.commands, servers, out)


main()
