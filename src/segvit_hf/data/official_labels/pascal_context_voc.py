"""Pascal Context, background and the 59 frequent classes, those of Pascal VOC first.

The order is that of the ids in the label maps that PyTorch-Encoding distributes, which Segmenter was trained on. It is
another one than that of MMSegmentation's preparation script.
"""

TABLE = """
background 120 120 120
aeroplane 180 120 120
bicycle 6 230 230
bird 80 50 50
boat 4 200 3
bottle 120 120 80
bus 140 140 140
car 204 5 255
cat 230 230 230
chair 4 250 7
cow 224 5 255
table 235 255 7
dog 150 5 61
horse 120 120 70
motorbike 8 255 51
person 255 6 82
pottedplant 143 255 140
sheep 204 255 4
sofa 255 51 7
train 204 70 3
tvmonitor 0 102 200
bag 61 230 250
bed 255 6 51
bench 11 102 255
book 255 7 71
building 255 9 224
cabinet 9 7 230
ceiling 220 220 220
cloth 255 9 92
computer 112 9 255
cup 8 255 214
door 7 255 224
fence 255 184 6
floor 10 255 71
flower 255 41 10
food 7 255 255
grass 224 255 8
ground 102 8 255
keyboard 255 61 6
light 255 194 7
mountain 255 122 8
mouse 0 255 20
curtain 255 8 41
platform 255 5 153
sign 6 51 255
plate 235 12 255
road 160 150 20
rock 0 163 255
shelves 140 140 140
sidewalk 250 10 15
sky 20 255 0
snow 31 255 0
bedclothes 255 31 0
track 255 224 0
tree 153 255 0
truck 0 0 255
wall 255 71 0
water 0 235 255
window 0 173 255
wood 31 0 255
"""
