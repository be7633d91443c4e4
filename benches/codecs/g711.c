/* G.711 as it is usually written: a table for each direction, a sample at a time. */

#include <stddef.h>
#include <stdint.h>

void expand(const int16_t table[256], const uint8_t *from, int16_t *to, size_t count) {
    for (size_t place = 0; place < count; place++)
        to[place] = table[from[place]];
}

/* table: by the upper 14 bits of a sample. */
void compress(const uint8_t table[16384], const int16_t *from, uint8_t *to, size_t count) {
    for (size_t place = 0; place < count; place++)
        to[place] = table[(uint16_t)from[place] >> 2];
}
