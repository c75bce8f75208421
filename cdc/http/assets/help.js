/* The dialog behind "?". */
import { $, html, paint } from './html.js';
import { mark } from './words.js';

const MARKS = [['ok', 'ok', 'Fine'], ['copy', 'busy', 'Copying'], ['replay', 'busy', 'Replaying'], ['warn', 'warn', 'Failed, retried by itself'], ['bad', 'bad', 'Stopped, needs you'], ['pause', 'off', 'Paused by an operator'], ['off', 'off', 'Not started, or waits']];
const KEYS = [['v', 'Verdict'], ['l', 'How far behind'], ['p', 'What to do now'], ['d', 'Pipeline'], ['c', 'Charts'], ['/', 'Search tables'], ['e', 'Recent events'], ['y', 'Copy the first statement'], ['m', 'Theme'], ['?', 'This help'], ['Esc', 'Close'], ['Tab', 'Next control']];
const NUMBERS = [['Freshness', 'the age of what the sink shows: every change that was committed before then is in it.'], ['Rows, bytes behind', 'in the log, not yet in the sink.'], ['Not read yet', 'in the source, not yet in the log.']];

export function showHelp(keys) {
  const dialog = $('#dlg');
  dialog.replaceChildren();
  paint(dialog, html`<form method="dialog"><h2 id="dlg-h">Help</h2><h3>Marks</h3><div class="shapes">${MARKS.map(([shape, colour, text]) => html`<span><span class="${colour}">${mark(shape)}</span>${text}</span>`)}</div>
    <h3>Keys</h3><div class="keys">${KEYS.map(([key, text]) => html`<kbd>${key}</kbd><span>${text}</span>`)}</div>
    <label class="check"><input type="checkbox" id="kb" ${keys.on ? html`checked` : ''}><span>Single-key shortcuts</span></label>
    <h3>Numbers</h3><ul class="b">${NUMBERS.map(([name, text]) => html`<li><b>${name}</b>: ${text}</li>`)}</ul><div class="foot"><button class="btn primary">Close</button></div></form>`);
  dialog.showModal();
  $('#kb').addEventListener('change', event => keys.set(event.target.checked));
}
