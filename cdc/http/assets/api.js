/* Requests to the daemon that serves this page, and the stream of what it says. */

// A status comes every second; after this long without one, what is shown is past.
const SILENT_MS = 10_000;
const RETRY_MS = 5_000;
const POLL_MS = 2_000;

let token = null; // Only in memory: gone with the tab.
export const hasToken = () => token !== null;
export const setToken = value => { token = value; };
const headers = () => token === null ? {} : { Authorization: `Bearer ${token}` };

export class Refusal extends Error {
  constructor(status, { message, remedy, where }) {
    super(message);
    this.status = status;
    this.remedy = remedy;
    this.where = where;
  }
}

export async function ask(path, body) {
  const options = body === undefined ? { headers: headers() }
    : { method: 'POST', headers: { ...headers(), 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(`api/v1/${path}`, { ...options, cache: 'no-store' });
  const document = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, document.error);
  return document;
}

/* Calls `on.status`, `on.event` and `on.point` with what the daemon sends, `on.silent(since)` while it sends nothing, and
   `on.refused` where reading needs the token. Without a stream it asks for the status; a hidden tab asks for nothing. */
export function watch(on) {
  let heard = Date.now(), abort = null, polling = null, wait = null;

  const hear = status => { heard = Date.now(); on.status(status); };
  const poll = () => ask('status').then(hear, refused);
  const refused = problem => { if (problem.status === 401) { stop(); on.refused(problem); } };
  const stop = () => { abort?.abort(); clearInterval(polling); clearTimeout(wait); abort = polling = wait = null; };

  async function read() {
    abort = new AbortController();
    const mine = abort;
    try {
      const answer = await fetch('api/v1/stream', { headers: headers(), signal: mine.signal, cache: 'no-store' });
      if (!answer.ok) throw new Refusal(answer.status, (await answer.json()).error);
      clearInterval(polling);
      polling = null;
      for await (const [name, document] of messages(answer.body)) name === 'status' ? hear(document) : on[name](document);
    } catch (problem) {
      refused(problem);
    }
    if (abort !== mine || mine.signal.aborted) return;
    polling ??= setInterval(poll, POLL_MS);
    wait = setTimeout(read, RETRY_MS);
  }

  const start = () => { stop(); heard = Date.now(); read(); };
  document.addEventListener('visibilitychange', () => document.hidden ? stop() : start());
  setInterval(() => { if (!document.hidden && Date.now() - heard > SILENT_MS) on.silent(heard); }, 1000);
  start();
  return { start, now: poll };
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? [];
      if (name) yield [name, JSON.parse(data)];
    }
  }
}
