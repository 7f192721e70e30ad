// Playwright reporter of the qgjob worker: one JSON object a line, appended to the file named by QGJOB_EVENTS.
// Its own file, because specs share the runner's stdout; appended at once, so that what ended before a crash is known.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const TITLE = 300;
const MESSAGE = 4000; // of the first failure; the others' are shorter
const BRIEF = 1000;
const TESTS = 500; // per spec file, in the event that ends it
const OUTPUT = 64 * 1024; // per spec file: as much as this from its start at once, and as much from its end
const ATTACHMENTS = 20; // per test
const BODY = 16 * 1024 * 1024; // of an attachment that is no file yet

// eslint-disable-next-line no-control-regex
const ANSI = /\x1b\[[0-?]*[ -/]*[@-~]/g;
const LONE_SURROGATE = /[\ud800-\udfff]/gu; // JSON would carry it, UTF-8 cannot

const clip = (text, length) =>
  String(text ?? '').replace(ANSI, '').slice(0, length).replace(LONE_SURROGATE, '\ufffd');

class QgjobReporter {
  constructor() {
    const events = process.env.QGJOB_EVENTS;
    this.fd = fs.openSync(events, 'a', 0o600);
    delete process.env.QGJOB_EVENTS; // the specs' processes inherit this environment; the events are not theirs to write
    this.bodies = path.join(path.dirname(events), 'attachments');
    this.files = new Map();
    this.current = undefined;
  }

  version() {
    return 'v2';
  }

  // Not false: Playwright would add its own terminal reporter.
  printsToStdio() {
    return true;
  }

  write(event, fields) {
    fs.writeSync(this.fd, `${JSON.stringify({ event, ...fields })}\n`);
  }

  onBegin(suite) {
    const counts = {};
    for (const test of suite.allTests()) {
      const file = this.file(test);
      file.tests.push(test);
      counts[test.location.file] = file.tests.length;
    }
    this.write('begin', { files: counts });
  }

  onTestBegin(test, result) {
    const file = this.file(test);
    if (this.current && this.current !== file && this.ran(this.current)) this.endFile(this.current);
    this.current = file;
    file.since ??= performance.now();
    this.write('test-begin', { file: file.name, title: this.title(test), retry: result.retry });
  }

  onStdOut(chunk, test) {
    this.print(chunk, test);
  }

  onStdErr(chunk, test) {
    this.print(chunk, test);
  }

  onTestEnd(test, result) {
    const file = this.file(test);
    this.write('test-end', {
      file: file.name,
      ...this.verdict(test, result),
      attachments: this.attachments(result),
      reset_s: this.reset(result.annotations ?? test.annotations),
    });
    // With retries of its own a spec may run tests again that have a result; then only the next file's start tells.
    if (this.ran(file) && file.tests.every((other) => other.retries === 0)) this.endFile(file);
  }

  onError(error) {
    const { location } = error;
    this.write('error', {
      message: clip(error.message ?? error.value, MESSAGE),
      file: location ? location.file : null,
      stack: clip(error.stack, MESSAGE),
    });
  }

  onEnd(result) {
    for (const file of this.files.values()) if (this.ran(file)) this.endFile(file);
    this.write('end', { status: result.status });
  }

  file(test) {
    const name = test.location.file;
    if (!this.files.has(name)) this.files.set(name, { name, tests: [], ended: false, sent: 0, rest: '', left: 0 });
    return this.files.get(name);
  }

  title(test) {
    return clip(test.titlePath().slice(3).join(' › '), TITLE); // without the root, the project and the file
  }

  verdict(test, result, limit = BRIEF) {
    const error = result.errors[0] ?? result.error;
    let message = error ? clip(error.message ?? error.value, limit) : null;
    if (result.status === 'passed' && test.expectedStatus === 'failed') message = 'expected to fail, but passed';
    return {
      title: this.title(test),
      status: result.status,
      outcome: test.outcome(),
      duration_s: Math.max(0, result.duration) / 1000,
      message,
      line: this.line(test, error),
    };
  }

  // Of the failure where it is in the spec itself, else of the test.
  line(test, error) {
    const at = error && error.location;
    return at && at.file === test.location.file ? at.line : test.location.line;
  }

  attachments(result) {
    return result.attachments.slice(0, ATTACHMENTS).flatMap((attachment, number) => {
      const { name, contentType, path: at, body } = attachment;
      const found = at ?? (body && body.length <= BODY ? this.toFile(body, `${result.startTime.getTime()}-${number}`) : null);
      return found ? [{ name: clip(name, TITLE), content_type: clip(contentType, 100), path: found }] : [];
    });
  }

  toFile(body, name) {
    fs.mkdirSync(this.bodies, { recursive: true });
    const file = path.join(this.bodies, `${fs.readdirSync(this.bodies).length}-${name}`);
    fs.writeFileSync(file, body, { mode: 0o600 });
    return file;
  }

  // What the appwright executor notes before each test.
  reset(annotations) {
    const notes = annotations.filter((note) => note.type === 'qgjob-reset-s');
    return notes.reduce((sum, note) => sum + (Number(note.description) || 0), 0);
  }

  ran(file) {
    return (
      file.since !== undefined &&
      file.tests.every((test) => test.results.length > 0 && !test.results.some((r) => r.status === 'interrupted'))
    );
  }

  endFile(file) {
    if (file.ended) return;
    file.ended = true;
    if (file.rest) this.write('output', { file: file.name, text: this.rest(file) });
    const tests = file.tests.map((test) => this.verdict(test, test.results.at(-1)));
    // The failures first: they must survive the cut.
    const failed = tests.filter((test) => test.outcome === 'unexpected');
    const first = file.tests.find((test) => test.outcome() === 'unexpected' && test.results.at(-1).error);
    const shown = tests.length > TESTS ? [...failed, ...tests.filter((t) => !failed.includes(t))].slice(0, TESTS) : tests;
    this.write('file-end', {
      file: file.name,
      ok: failed.length === 0,
      timeout: failed.length > 0 && failed.every((test) => test.status === 'timedOut'),
      message: first ? this.verdict(first, first.results.at(-1), MESSAGE).message : (failed[0]?.message ?? null),
      duration_s: (performance.now() - file.since) / 1000,
      tests: shown,
    });
  }

  print(chunk, test) {
    const file = test ? this.file(test) : this.current;
    if (!file || file.ended) return;
    const text = chunk.toString();
    if (file.sent < OUTPUT) {
      const now = text.slice(0, OUTPUT - file.sent);
      file.sent += now.length;
      this.write('output', { file: file.name, text: clip(now, OUTPUT) });
      this.keep(file, text.slice(now.length));
    } else {
      this.keep(file, text);
    }
  }

  keep(file, text) {
    const all = file.rest + text;
    file.rest = all.slice(-OUTPUT);
    file.left += all.length - file.rest.length;
  }

  rest(file) {
    const gap = file.left ? `\n… ${file.left} characters left out …\n` : '';
    return gap + clip(file.rest, OUTPUT);
  }
}

module.exports = QgjobReporter;
