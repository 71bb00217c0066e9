// What came of a request: a verdict, or why there is none. At most one request at a time, the newest.
import { problemOf } from "./api.js";
import { element } from "./dom.js";
import { explained } from "./words.js";

export class Result {
  #running = null; // ended by the next request or clear(), also where it only has landmarks to come

  constructor(host) {
    this.host = host;
    this.verdict = element("div", "verdict");
    this.verdict.setAttribute("role", "status");
    this.problem = element("div", "problem");
    this.problem.setAttribute("role", "alert");
    this.details = element("div", "details");
    host.append(this.problem, this.verdict, this.details);
  }

  /** Nothing to show any more, whatever is still under way. */
  clear() {
    this.#running?.abort();
    this.host.removeAttribute("aria-busy");
    for (const part of [this.verdict, this.problem, this.details]) part.replaceChildren();
  }

  /** Show what `work(signal)` does, and why where it fails. */
  async run(doing, work) {
    this.clear();
    const running = new AbortController();
    this.#running = running;
    this.host.setAttribute("aria-busy", "true");
    this.verdict.append(element("p", "doing", doing));
    try {
      await work(running.signal);
    } catch (error) {
      if (!running.signal.aborted) this.fail(error);
    } finally {
      if (this.#running === running) this.host.removeAttribute("aria-busy");
    }
  }

  /** `kind`: "good", "bad" or "open". */
  show(kind, word, sentence, ...details) {
    this.verdict.replaceChildren(element("p", `word ${kind}`, word), element("p", "sentence", sentence));
    this.details.replaceChildren(...details);
  }

  fail(error, ...details) {
    const problem = problemOf(error);
    const { title, text } = explained(problem);
    this.verdict.replaceChildren();
    this.details.replaceChildren(...details);
    this.problem.replaceChildren(element("p", "problem-title", title), element("p", "", text));
    if (problem.requestId) this.problem.append(element("p", "hint", `Request id ${problem.requestId}`));
  }

  /** What the user has to do first. */
  want(text) {
    this.clear();
    this.problem.append(element("p", "", text));
  }
}
