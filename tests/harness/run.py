"""What came of one orchestration, whoever has run it."""

import copy

import salt.config
import salt.output
import salt.utils.state


class Run:
    """How one orchestration ended: `ok`, its steps in order, and all that it says to people.

    exit_code -- that of salt-run
    steps -- {id: what Salt returned for it}, those on hosts one by one, and those of
        orchestrations that it ran
    states -- what the states on minions returned, in order
    errors -- what was said in place of steps or states
    returned -- all that Salt returned
    seconds -- how long it took
    stdout, stderr -- what salt-run printed, where there was one
    """

    def __init__(self, returned, seconds, exit_code=None, stdout="", stderr=""):
        if exit_code is None:
            exit_code = 0 if salt.utils.state.check_result({"master": returned}) else 1
        self.ok, self.exit_code, self.returned = exit_code == 0, exit_code, returned
        self.seconds, self.stdout, self.stderr = seconds, stdout, stderr
        self.steps, self.states = {}, []
        self.errors = []
        self._read(returned)

    def _read(self, returned):
        if not isinstance(returned, dict):
            self.errors.append(str(returned))
            return
        for step in _in_order(returned):
            for one in step.get("steps", []):
                self.steps.setdefault(one["id"], dict(one, __id__=one["id"], name=one["id"]))
                for ret in _returned(one).values():
                    if isinstance(ret, dict):
                        self.states += _in_order(ret)
                    else:
                        self.errors.append(str(ret))
            if "steps" not in step:
                # Salt gives one that came out of another its parent's.
                self.steps.setdefault(step["__id__"], step)
            for word in step.get("says", []):
                said = {"__id__": word["id"], "name": word["id"], "comment": word["text"], "changes": {}}
                self.steps.setdefault(word["id"], dict(said, result=word["good"]))

    def printed(self, width=80, **options):
        """The lines of a terminal of this width on which salt-run has printed it.

        options -- of the master's configuration
        """
        opts = dict(salt.config.master_config(None), color=False, extension_modules="", **options)
        shown = salt.output.out_format({"lab_master": copy.deepcopy(self.returned)}, "highstate", opts)
        return [
            line[at : at + width]
            for line in shown.splitlines()
            for at in range(0, max(len(line), 1), width)
        ]

    def failed(self):
        """The steps that failed by themselves, in order, not those that a failed one kept from running."""
        return [
            name
            for name, step in self.steps.items()
            if step["result"] is False and step.get("begun", True)
        ]

    def said(self):
        """Every comment, of steps and of the states on minions, and every error."""
        return [found["comment"] for found in [*self.steps.values(), *self.states]] + self.errors

    def changed(self):
        """The names of states on minions that changed something, or would."""
        return [state["name"] for state in self.states if state["changes"]]

    def comment(self, step):
        """The comments of a step: its own, and those of all that it ran."""
        return "\n".join(_comments(self.steps[step]))

    def report(self):
        """Everything that the run says to the operator."""
        said = ["%s: %s" % (name, self.comment(name)) for name in self.steps]
        return "\n".join(said + self.errors)


def _in_order(states):
    return sorted(states.values(), key=lambda state: state["__run_num__"])


def _returned(step):
    """What minions returned to a step, {minion: its states, or a text}."""
    return step.get("returned", {})


def _comments(step):
    found = [step["comment"]] + [word["text"] for word in step.get("says", [])]
    for ret in _returned(step).values():
        if isinstance(ret, dict):
            for inner in _in_order(ret):
                found += _comments(inner)
        else:
            found.append(str(ret))
    return found
