// What was done, the newest first, with a strip that shows when.

import { groupOf, wordOf } from './model.js';
import { bdi, clean, clock, count, make, put, sign, span } from './text.js';

const VERBS = { create: 'created', update: 'changed', recreate: 'recreated', delete: 'removed', revert: 'undone' };
const OPERATIONS = { CREATE: ['+', 'created'], UPDATE: ['~', 'changed'], DELETE: ['−', 'removed'] };
/** Operations that are shown of a transaction before somebody asks for all. */
const MOST = 200;

export class History {
  constructor(store, open) {
    this.store = store;
    this.open = open;
    for (const id of ['strip', 'transactions', 'no-history']) this[id] = document.getElementById(id);
    this.items = new Map();
    this.strip.addEventListener('click', (event) => this.show(event.target.dataset.number));
  }

  update() {
    const all = [...this.store.transactions].reverse();
    this['no-history'].hidden = all.length > 0;
    const known = new Set(all.map((one) => one.number));
    for (const [number, item] of this.items) {
      if (known.has(number)) continue;
      item.remove();
      this.items.delete(number);
    }
    let next = this.transactions.firstChild;
    for (const one of all) {
      const item = this.item(one);
      if (item === next) next = next.nextSibling;
      else this.transactions.insertBefore(item, next);
    }
    this.drawStrip(all);
    this.tick();
  }

  item(one) {
    const known = this.items.get(one.number);
    if (known) return known;
    const done = Object.entries(one.verbs).map(([verb, number]) => `${number} ${VERBS[verb] ?? verb}`);
    const group = one.failed ? 'bad' : 'good';
    const summary = make('summary', {},
      make('span', { className: 'number', textContent: `#${one.number}` }),
      make('span', { className: `state ${group}` }, sign(group), make('span', { className: 'unseen', textContent: one.failed ? 'with failures' : 'done' })),
      make('time', { textContent: clock(one.start) }),
      make('span', { className: 'reason', textContent: clean(one.reason) }),
      make('span', { className: 'done', textContent: `${one.found ? `${one.found}: ` : ''}${done.join(', ') || 'nothing to do'}` }),
      one.failed ? make('span', { className: 'failed', textContent: `${one.failed} failed` }) : null,
      one.reverted ? make('span', { className: 'failed', textContent: 'undone' }) : null,
      make('span', { className: 'took' }, span(one.seconds)),
      make('span', { className: 'ago' }));
    const list = make('div', { className: 'operations' });
    const details = make('details', {}, summary, list);
    details.addEventListener('toggle', () => details.open && !list.firstChild && this.load(one, list), false);
    const item = make('li', { className: group }, details);
    item.one = one;
    this.items.set(one.number, item);
    return item;
  }

  async load(one, list) {
    list.textContent = 'Loading…';
    try {
      const answer = await fetch(`/scheduler/txn-history?seq-num=${one.number}`, { cache: 'no-store' });
      if (!answer.ok) throw new Error(answer.status === 404 ? 'the agent remembers it no more' : `error ${answer.status}`);
      const all = (await answer.json()).Executed ?? [];
      list.replaceChildren(this.operations(all.slice(0, MOST)));
      for (const change of one.details ?? []) list.append(make('p', {}, 'Found: ', bdi(change)));
      for (const loss of one.losses ?? []) list.append(make('p', { className: 'failed' }, 'Of others went: ', bdi(loss)));
      if (one.omitted) list.append(make('p', { textContent: `${count(one.omitted, 'more operation')} were not kept.` }));
      if (all.length > MOST) {
        const more = make('button', { type: 'button', textContent: `Show all ${all.length}` });
        more.addEventListener('click', () => list.replaceChildren(this.operations(all)));
        list.append(more);
      }
    } catch (error) {
      list.textContent = `It can't be shown: ${error.message}`;
    }
  }

  operations(all) {
    return make('ol', {}, ...all.map((one) => {
      const [mark, word] = one.IsRevert ? ['↶', 'undone'] : one.IsRecreate ? ['±', 'recreated'] : OPERATIONS[one.Operation] ?? ['·', one.Operation];
      const group = one.NewErrMsg ? 'bad' : groupOf(one.NewState);
      const what = make('button', { type: 'button', className: 'link' }, bdi(one.Summary || one.Key || ''));
      what.addEventListener('click', () => one.Key && this.open(one.Key));
      return make('li', { className: one.NewErrMsg ? 'bad' : '' },
        make('span', { className: `verb ${one.Operation?.toLowerCase()}`, title: word }, mark, make('span', { className: 'unseen', textContent: ` ${word} ` })),
        what,
        make('span', { className: `state ${group}` }, sign(group), `${wordOf(one.PrevState)} → ${wordOf(one.NewState)}`),
        one.NewErrMsg ? make('p', { className: 'failed' }, bdi(one.NewErrMsg)) : null);
    }));
  }

  // The strip

  /** Bars where transactions began; the more was done the higher. */
  drawStrip(all) {
    this.strip.hidden = all.length < 2;
    if (all.length < 2) return;
    const end = Date.now();
    const begin = Math.min(...all.map((one) => one.start));
    const length = Math.max(end - begin, 1000);
    const bars = all.map((one) => {
      const bar = make('i', { className: one.failed ? 'bad' : 'good', title: `#${one.number} ${clock(one.start)}` });
      bar.dataset.number = one.number;
      const steps = Object.values(one.verbs).reduce((a, b) => a + b, 0);
      bar.style.left = `${(100 * (one.start - begin)) / length}%`;
      bar.style.height = `${Math.min(100, 22 + 20 * Math.log10(1 + steps))}%`;
      return bar;
    });
    const from = make('span', { className: 'from', textContent: clock(begin) });
    this.strip.replaceChildren(...bars, from, make('span', { className: 'to', textContent: 'now' }));
  }

  show(number) {
    const item = this.items.get(Number(number));
    if (!item) return;
    item.firstChild.open = true;
    item.scrollIntoView({ block: 'center' });
  }

  /** How long ago things were. */
  tick() {
    for (const item of this.items.values()) {
      put(item.querySelector('.ago'), `${span((Date.now() - item.one.start) / 1000)} ago`);
    }
  }
}
