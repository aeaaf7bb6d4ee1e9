// All that is known of one value, beside the views.

import { bdi, clock, make, sign } from './text.js';

const FACTS = [
  ['host', 'Name in the kernel'], ['addresses', 'Addresses'], ['peer', 'Other end'], ['ports', 'Ports'], ['parent', 'On top of'],
  ['vrf', 'VRF'], ['local', 'Local end'], ['remote', 'Remote end'], ['id', 'Number'], ['service', 'Network service'],
  ['interface', 'Interface'], ['prefix', 'Interfaces'],
];
const CODE = new Set(['Key', 'Source', 'MAC address']);
const MOST = 40;

export class Details {
  constructor(store) {
    this.store = store;
    this.element = document.getElementById('details');
    this.key = null;
    this.element.addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
  }

  open(key) {
    if (!this.store.values.has(key)) return;
    if (!this.element.contains(document.activeElement)) this.opener = document.activeElement;
    this.key = key;
    this.update(true);
    this.element.hidden = false;
    document.body.classList.add('has-details');
    this.element.querySelector('h2').focus();
  }

  close() {
    const hadFocus = this.element.contains(document.activeElement);
    this.key = null;
    this.element.hidden = true;
    document.body.classList.remove('has-details');
    if (hadFocus && this.opener?.isConnected) this.opener.focus();
  }

  update(isNew = false) {
    if (!this.key) return;
    const value = this.store.values.get(this.key);
    const known = [value, this.store.partsOf(this.key), this.store.usersOf(this.key)].flat();
    // What stands there stays, with the focus and what is marked in it, unless something else is to be said.
    if (!isNew && known.length === this.known?.length && known.every((one, index) => one === this.known[index])) return;
    this.known = known;
    const focused = isNew ? null : this.element.contains(document.activeElement) && document.activeElement.dataset.key;
    const scroll = this.element.scrollTop;
    const shut = make('button', { type: 'button', className: 'shut', 'aria-label': 'Close', textContent: '×' });
    shut.dataset.key = 'shut';
    shut.addEventListener('click', () => this.close());
    this.element.replaceChildren(shut, ...(value ? this.content(value) : [
      make('h2', { id: 'details-name', tabIndex: -1, textContent: 'Gone' }), make('p', {}, bdi(this.key, 'key'), ' is no value any more.')]));
    if (isNew) this.element.scrollTop = 0;
    else this.element.scrollTop = scroll;
    if (focused) ([...this.element.querySelectorAll('[data-key]')].find((one) => one.dataset.key === focused) ?? shut).focus();
    else if (focused === undefined) this.element.querySelector('h2').focus();
  }

  content(value) {
    const parts = [
      make('h2', { id: 'details-name', tabIndex: -1 }, bdi(value.net?.name ?? value.summary ?? value.key)),
      make('p', { className: `state ${value.group}` }, sign(value.group), make('strong', { textContent: value.word }), ` since ${clock(value.since)}`),
      value.summary && value.net?.name ? make('p', {}, bdi(value.summary)) : null,
      value.error ? make('p', { className: 'error' }, bdi(value.error)) : null,
      value.retry ? make('p', { textContent: `Next try at ${clock(value.retry)}` }) : null,
    ];
    if (value.details) {
      parts.push(make('h3', { textContent: value.state === 'PENDING' ? 'Waiting for' : 'Details' }),
        make('ul', {}, ...value.details.map((one) => make('li', {}, bdi(one)))));
    }
    parts.push(this.facts(value));
    parts.push(...this.list('Parts', this.store.partsOf(value.key)));
    if (value.base) parts.push(...this.list('Part of', [this.store.values.get(value.base)].filter(Boolean)));
    parts.push(...this.list('Needs', (value.needs ?? []).map((key) => this.store.values.get(key) ?? { key, group: 'gone', word: 'not there' })));
    parts.push(...this.list('Needed by', this.store.usersOf(value.key)));
    return parts.filter(Boolean);
  }

  facts(value) {
    const facts = [['Kind', value.net?.type ? `${value.kind}, ${value.net.type}` : value.kind]];
    const space = value.net?.space;
    if (space) facts.push([space[0] === 'microservice' ? 'Container' : 'Namespace', space[0] === 'process' ? `of process ${space[1]}` : space[1]]);
    for (const [name, word] of FACTS) if (value.net?.[name] !== undefined) facts.push([word, [value.net[name]].flat().join(', ')]);
    const device = value.net?.device;
    if (value.net?.is === 'interface') facts.push(['Link', linkText(value.net)]);
    if (device?.mac) facts.push(['MAC address', device.mac]);
    if (device?.mtu) facts.push(['MTU', device.mtu]);
    if (device) facts.push(['Index', device.index]);
    if (value.source) facts.push(['Source', value.source]);
    if (value.others) facts.push(['Also declared by', value.others.join(', ')]);
    facts.push(['Key', value.key]);
    return make('dl', {}, ...facts.flatMap(([word, text]) => [
      make('dt', { textContent: word }), make('dd', { className: CODE.has(word) ? 'code' : '' }, bdi(text))]));
  }

  /** Other values, to go on to. */
  list(title, values) {
    if (values.length === 0) return [];
    const items = values.slice(0, MOST).map((value) => {
      const isKnown = this.store.values.has(value.key);
      const text = bdi(value.summary ?? value.key);
      const go = isKnown ? make('button', { type: 'button', className: 'link' }, text) : text;
      if (isKnown) {
        go.dataset.key = value.key;
        go.addEventListener('click', () => this.open(value.key));
      }
      return make('li', { className: `state ${value.group}` }, sign(value.group), go, make('span', { className: 'unseen', textContent: ` ${value.word}` }),
        value.why ? make('small', {}, bdi(value.why)) : null);
    });
    if (values.length > MOST) items.push(make('li', { textContent: `and ${values.length - MOST} more` }));
    return [make('h3', { textContent: title }), make('ul', { className: 'values' }, ...items)];
  }
}

function linkText({ up, device }) {
  if (!device) return `${up ? 'to be up' : 'to be down'}; not in the kernel`;
  return `${device.up ? 'up' : 'down'}${device.up && !device.running ? ', no carrier' : ''}${up === device.up ? '' : `; to be ${up ? 'up' : 'down'}`}`;
}

