// The list lives in the browser's storage, which an update leaves alone.
const key = 'packing-list'

const first = ['Passport', 'Tooth brush', 'Charger', 'Something to read']

export function load() {
  try {
    const items = JSON.parse(localStorage.getItem(key))
    if (Array.isArray(items)) return items
  }
  catch {
    // A damaged list is as good as none.
  }
  return first.map((what) => ({ what, packed: false }))
}

export function save(items) {
  localStorage.setItem(key, JSON.stringify(items))
}
