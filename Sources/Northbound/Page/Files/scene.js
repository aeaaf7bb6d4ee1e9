// What is in the picture: namespaces, what is in them, and what connects them. It knows no places; layout.js finds them.

import { byName, clean } from './text.js';
import { worst } from './model.js';

const SPACE_WORDS = { name: 'namespace', process: 'process', file: 'namespace of', microservice: 'container', unknown: 'namespace' };

/** The scene of all values that `isWanted` lets through, with their neighbours. */
export function sceneOf(store, isWanted) {
  const builder = new Builder(store);
  builder.addValues();
  builder.nest();
  builder.connect();
  if (isWanted) builder.keep(isWanted);
  return builder.finished();
}

class Builder {
  constructor(store) {
    this.store = store;
    this.nodes = new Map();
    this.spaces = new Map();
    this.edges = new Map();
    /** Nodes of interfaces by their logical names. */
    this.byName = new Map();
  }

  // What there is

  addValues() {
    const later = [];
    for (const value of this.store.values.values()) {
      if (value.net?.is === 'interface') this.addInterface(value);
      else if (value.net?.is === 'namespace') this.space(['name', value.net.name]).value = value;
      else if (value.net) later.push(value);
    }
    for (const value of later) this.addService(value);
  }

  addInterface(value) {
    const net = value.net;
    const node = this.node(`i:${net.name}`, this.space(net.space), net.name, value);
    const device = net.device;
    const down = !net.up ? 'set down' : device && !device.running ? 'no link' : '';
    const number = net.id === undefined ? '' : { vlan: `id ${net.id}`, vrf: `table ${net.id}` }[net.type] ?? `${net.id}`;
    const address = net.addresses?.[0] ?? '';
    const more = net.addresses?.length > 1 ? `+${net.addresses.length - 1}` : '';
    node.note = [net.type, number, address && `${address}${more && ` ${more}`}`, device || value.group !== 'good' ? down : '']
      .filter(Boolean).join(' · ');
    this.byName.set(net.name, node);
  }

  addService(value) {
    const net = value.net;
    const isClient = net.is === 'client';
    const made = isClient ? this.byName.get(net.interface) : undefined;
    const name = isClient ? net.name : net.service;
    const node = this.node(`${isClient ? 'c' : 'e'}:${value.key}`, made?.space ?? this.space(), name, value);
    node.note = isClient ? `client of ${net.service}` : 'endpoint';
    const service = this.node(`s:${net.service}`, this.place('services', 'Network services', ''), net.service);
    service.note = 'service';
    this.edge('service', node, service);
    if (made) made.wants = node;
    if (net.prefix) {
      for (const [other, node2] of this.byName) if (other.startsWith(net.prefix)) node2.wants ??= node;
    }
  }

  space(reference) {
    if (!reference) return this.place('own', 'Own namespace', '');
    const [type, name] = reference;
    return this.place(`n:${type}:${name}`, name, SPACE_WORDS[type] ?? type);
  }

  place(id, label, note) {
    let space = this.spaces.get(id);
    if (!space) {
      space = { id, label: clean(label), note, nodes: [], roots: [], group: 'good', value: null };
      this.spaces.set(id, space);
    }
    return space;
  }

  node(id, space, name, value = null) {
    let node = this.nodes.get(id);
    if (!node) {
      node = { id, space, name: clean(name), value, note: '', children: [], parent: null, edges: [], group: 'good' };
      node.group = value ? this.store.groupWithParts(value) : 'good';
      this.nodes.set(id, node);
      space.nodes.push(node);
    }
    return node;
  }

  // What is in what

  nest() {
    const interfaces = [...this.byName.values()];
    for (const node of interfaces) {
      for (const port of node.value.net.ports ?? []) {
        const found = this.byName.get(port) ?? this.ghost(node.space, port);
        if (found.space === node.space) this.put(found, node);
      }
    }
    for (const node of interfaces) {
      const { vrf, parent } = node.value.net;
      for (const name of [vrf, parent]) {
        const found = name && this.byName.get(name);
        if (found && found.space === node.space && !node.parent) this.put(node, found);
      }
      if (node.wants && !node.parent && node.wants.space === node.space) this.put(node, node.wants);
    }
  }

  /** A port that nobody declares. */
  ghost(space, name) {
    const node = this.node(`g:${space.id}:${name}`, space, name);
    node.note = 'not declared';
    node.group = 'gone';
    return node;
  }

  put(node, parent) {
    if (node.parent || node === parent) return;
    // Wrong configurations may go round in circles.
    for (let above = parent; above; above = above.parent) if (above === node) return;
    node.parent = parent;
    parent.children.push(node);
  }

  // What connects

  connect() {
    for (const node of this.byName.values()) {
      const net = node.value.net;
      const peer = net.peer && this.byName.get(net.peer);
      if (peer && peer !== node) this.edge('veth', node, peer);
      const below = net.parent && this.byName.get(net.parent);
      if (below && node.parent !== below) this.edge('stack', node, below);
      if (net.remote) {
        const far = this.node(`r:${net.remote}`, this.place('remote', 'Beyond this host', ''), net.remote);
        far.note = 'remote end';
        this.edge('tunnel', node, far, net.id === undefined ? net.type : `${net.type} ${net.id}`);
      }
    }
  }

  edge(kind, a, b, label = '') {
    const [from, to] = kind === 'veth' && b.id < a.id ? [b, a] : [a, b];
    const id = `${kind} ${from.id} ${to.id}`;
    if (this.edges.has(id)) return;
    const edge = { id, kind, from, to, label, isBroken: from.group !== 'good' || to.group !== 'good' };
    this.edges.set(id, edge);
    from.edges.push(edge);
    to.edges.push(edge);
  }

  // What is wanted of it

  /** Leaves out what is not wanted and no neighbour of what is. */
  keep(isWanted) {
    const wanted = [...this.nodes.values()].filter((node) => node.value && this.isWanted(node.value, isWanted));
    const kept = new Set();
    for (const node of wanted) {
      node.isWanted = true;
      kept.add(node);
      for (const edge of node.edges) kept.add(edge.from).add(edge.to);
      for (const child of node.children) if (node.children.length <= 12) kept.add(child);
    }
    for (const node of [...kept]) for (let above = node.parent; above; above = above.parent) kept.add(above);
    for (const [id, node] of this.nodes) if (!kept.has(node)) this.nodes.delete(id);
    for (const node of kept) node.children = node.children.filter((child) => kept.has(child));
    for (const [id, edge] of this.edges) if (!kept.has(edge.from) || !kept.has(edge.to)) this.edges.delete(id);
    for (const [id, space] of this.spaces) {
      space.nodes = space.nodes.filter((node) => kept.has(node));
      const isNamed = space.value && isWanted(space.value);
      if (space.nodes.length === 0 && !isNamed) this.spaces.delete(id);
    }
  }

  /** A node is wanted for what is derived from its value as well. */
  isWanted(value, isWanted) {
    return isWanted(value) || this.store.partsOf(value.key).some(isWanted);
  }

  finished() {
    for (const node of this.nodes.values()) node.children.sort((a, b) => byName(a.name, b.name));
    for (const space of this.spaces.values()) {
      space.nodes.sort((a, b) => byName(a.name, b.name));
      space.roots = space.nodes.filter((node) => !node.parent);
      const groups = space.nodes.map((node) => node.group);
      space.group = worst(space.value ? [...groups, space.value.group] : groups);
    }
    const spaces = [...this.spaces.values()].sort((a, b) => byName(a.label, b.label) || byName(a.id, b.id));
    return { spaces, edges: [...this.edges.values()], nodes: this.nodes };
  }
}
