/* Dialogs. What a control does, what it leaves as it is and its command are the daemon's words: of a dry run. */
import { ask, hasToken, setToken } from './api.js';
import { $, html, paint } from './html.js';
import { checkpoints } from './lists.js';
import { clock, plural, prose, statement, statements } from './words.js';

const dialog = () => $('#dlg');
const tokenField = note => html`<div class="tok"><label>Control token<input type="password" id="token" autocomplete="off" required aria-describedby="tok-n"></label><p class="small muted" id="tok-n">${note} The value of <code>http.token</code>. Kept in this tab’s memory until it is closed or loaded again.</p></div>`;
const refused = problem => html`<div class="refused" role="alert"><p>${problem.where && html`<code>${problem.where}</code>: `}${prose(problem.message)}</p>${problem.remedy && html`<p>${prose(problem.remedy)}</p>`}</div>`;

function open(markup) {
  dialog().replaceChildren();
  paint(dialog(), markup);
  if (!dialog().open) dialog().showModal();
}

export function toast(text) {
  const element = $('#toast');
  element.textContent = text;
  element.classList.add('on');
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => element.classList.remove('on'), 5_000);
}

/* Asks for the token where even reading needs it. */
export function unlock(problem, then) {
  open(html`<form method="dialog"><h2 id="dlg-h">This daemon asks for its token</h2>${hasToken() ? refused(problem) : ''}${tokenField('')}<div class="foot"><button class="btn primary">Go on</button></div></form>`);
  dialog().querySelector('form').addEventListener('submit', () => { setToken($('#token').value); then(); });
  $('#token').focus();
}

/* Something that no control changes: why it is so, and what to do. */
export function explain(title, why, remedy) {
  open(html`<form method="dialog"><h2 id="dlg-h">${title}</h2><h3>Why</h3><p>${prose(why)}</p><h3>What to do</h3><p>${prose(remedy)}</p>${statements(remedy).map(text => statement(text))}<div class="foot"><button class="btn primary">Close</button></div></form>`);
  dialog().querySelector('.foot .btn').focus();
}

/* What a reload would change, one part a line: names of the file's keys, no values. */
const SIGN = { added: '+', removed: '−', changed: '~' };
const differences = changes => html`<h3>What is different in the file</h3>${changes.length
  ? html`<ul class="diff" aria-label="${plural(changes.length, 'difference')}">${changes.map(({ part, change, keys }) => html`<li>${SIGN[change]} ${part} ${change}${keys.length ? `: ${keys.join(', ')}` : ''}</li>`)}</ul>`
  : html`<p>Nothing: the daemon has what the file says.</p>`}`;

/* One change. `choices` are fields whose values `body` makes the request of. */
class Change {
  constructor(status, verb, choices, body) {
    Object.assign(this, { status, verb, choices, body, problem: null, said: null });
    this.values = Object.fromEntries(choices.map(choice => [choice.name, choice.value]));
  }

  async show() {
    this.said = this.problem = null;
    try {
      this.said = await ask(`${this.verb}?dry_run=true`, this.body(this.values));
    } catch (problem) {
      this.problem = problem;
    }
    this.paint();
  }

  paint() {
    const { said, problem } = this, mayAct = said && this.status.controls;
    const fields = this.choices.map(choice => html`<label>${choice.label}<select name="${choice.name}">${choice.options.map(([value, text]) => html`<option value="${value}" ${this.values[choice.name] === value ? html`selected` : ''}>${text}</option>`)}</select></label>`);
    open(html`<form method="dialog"><h2 id="dlg-h">${said ? `${said.title}?` : 'This is refused now'}</h2>${fields.length ? html`<div class="fields">${fields}</div>` : ''}
      ${said?.changes ? differences(said.changes) : ''}
      ${said ? html`<h3>What happens</h3><p>${said.happens}</p><h3>What stays as it is</h3><p>${said.stays}</p><h3>The same as a command</h3>${statement(said.command)}` : ''}
      ${problem ? refused(problem) : ''}
      ${said && !this.status.controls ? html`<div class="tok"><p>This page changes nothing, because <code>http.token</code> is not set. Use the command, or set a token in the configuration:</p>${statement('openssl rand -hex 32')}</div>` : ''}
      ${mayAct && !hasToken() ? tokenField('') : ''}
      <div class="foot"><button class="btn" value="no" formnovalidate>Cancel</button>${mayAct ? html`<button class="btn primary" value="yes">${said.button}</button>` : ''}</div></form>`);
    const form = dialog().querySelector('form');
    form.addEventListener('submit', event => { if (event.submitter.value === 'yes') { event.preventDefault(); this.act(); } });
    form.addEventListener('change', event => { if (event.target.name) { this.values[event.target.name] = event.target.value; this.show(); } });
    (form.querySelector('#token') ?? form.querySelector('select') ?? form.querySelector('.foot .btn')).focus();
  }

  async act() {
    const field = $('#token');
    if (field) setToken(field.value);
    try {
      const done = await ask(this.verb, this.body(this.values));
      dialog().close();
      toast(done.taken === false ? `${this.said.title}: asked. The daemon takes it up in a moment.` : `${this.said.title}: done.`);
    } catch (problem) {
      if (problem.status === 401) setToken(null);
      this.problem = problem;
      this.paint();
    }
  }
}

const sourcesOf = (status, sink) => status.sinks[sink].map(pair => pair.source);

export const CONTROLS = {
  pause: (status, { name, kind, table }) => new Change(status, 'pause', [], () => ({ name, kind, tables: table ? [table] : [] })).show(),
  resume: (status, { name, kind, table }) => new Change(status, 'resume', [], () => ({ name, kind, tables: table ? [table] : [] })).show(),
  replay(status, { name, source, place }) {
    const own = sourcesOf(status, name), chosen = source ?? own[0];
    const points = checkpoints.filter(point => point.source === chosen).map(point => [point.id, `${point.id}, ${clock(point.at)}`]);
    const sinks = Object.keys(status.sinks).filter(sink => sourcesOf(status, sink).includes(chosen));
    const choices = [{ name: 'sink', label: 'Sink', value: name, options: sinks.map(sink => [sink, sink]) },
      { name: 'from', label: `From a place of ${chosen}`, value: place ?? points[0]?.[0] ?? 'earliest', options: [...points, ['earliest', 'earliest']] }];
    new Change(status, 'replay', choices, values => ({ ...values, source: chosen })).show();
  },
  reload: status => new Change(status, 'reload', [], () => ({})).show(),
  snapshot(status, { name, table }) {
    const sinks = Object.keys(status.sinks).filter(sink => sourcesOf(status, sink).includes(name));
    const choices = sinks.length > 1 ? [{ name: 'sink', label: 'Into', value: '', options: [['', 'all sinks'], ...sinks.map(sink => [sink, sink])] }] : [];
    new Change(status, 'snapshot', choices, ({ sink }) => ({ source: name, tables: table ? [table] : [], ...(sink ? { sink } : {}) })).show();
  },
};
